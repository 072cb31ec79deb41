package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gannet/board"
	"gannet/config"
	"gannet/control/api"
	"gannet/control/gossip"
	"gannet/control/invalidate"
	"gannet/replication"
	"gannet/replication/transport"
	"gannet/ring"
	"gannet/security/mtls"
)

// cluster is this node's part in its cluster: the group logic and its driver, the
// controller, and what they talk to others with. A node on its own has all of it but
// the others.
type cluster struct {
	cfg  *config.Config
	log  *slog.Logger
	link *Link
	self ring.Member

	tls    *mtls.Store    // nil: no certificates
	gossip *gossip.Gossip // nil: there can be no others
	port   *api.Server
	hub    *invalidate.Hub
	driver *transport.Driver
	chair  *chair
	files  stateFiles
	bell   *Doorbell

	etcd       atomic.Pointer[ringStore] // nil: none, or not yet
	membership atomic.Pointer[Membership]
	listed     chan struct{} // closed once etcd was read for the first time
	listedOnce sync.Once

	mu      sync.Mutex             // held for moments only
	record  replication.Record     // guarded by mu: put up last
	members map[uint64]ring.Member // guarded by mu: those of the ring, and those that etcd lists

	// The driver's goroutine's.
	writes    []invalidate.Write
	renewedAt int64
}

// newCluster binds the ports. Nothing runs yet; close lets go of it again.
func newCluster(cfg *config.Config, link *Link, self ring.Member, log *slog.Logger) (c *cluster, err error) {
	c = &cluster{
		cfg: cfg, log: log, link: link, self: self, files: stateFiles{cfg.DataDir}, bell: NewDoorbell(cfg.DataDir),
		listed: make(chan struct{}), members: map[uint64]ring.Member{},
	}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if cfg.HasTLS() {
		if c.tls, err = mtls.Open(tlsFiles(cfg), mtls.Options{Log: log}); err != nil {
			return nil, err
		}
	}
	started := time.Now().UnixNano()
	c.chair = newChair(c.groupConfig(), self.ID, uint64(started), log)
	c.hub = invalidate.NewHub(invalidate.Config{
		Origin: self.ID, Incarnation: uint64(started), Timing: invalidate.DefaultTiming(), Spread: c.spread, Peers: c.peerCount,
	})
	c.chair.reaches = func(node uint64, since int64) bool { return c.driver.Reaches(node, since) }
	c.chair.swap = c.swap
	if err = c.newDriver(uint64(started)); err != nil {
		return nil, err
	}
	// Last: those who knew this node before gossip to it at once.
	return c, c.listen()
}

func tlsFiles(cfg *config.Config) mtls.Files {
	return mtls.Files{Cert: cfg.TLSCert, Key: cfg.TLSKey, CA: cfg.TLSCA, CRL: cfg.TLSCRL}
}

func (c *cluster) groupConfig() replication.Config {
	return replication.Config{
		Expect: c.cfg.ExpectNodes, Replicas: c.cfg.Replicas, RepairBytesPerSecond: int(c.cfg.RepairRate),
		AcceptPartitioned: c.cfg.PartitionWrites == config.PartitionAccept,
	}
}

// listen binds the control port and, where there can be others, that of the gossip.
func (c *cluster) listen() (err error) {
	c.port, err = api.Listen(api.Config{
		Listen: netip.AddrPortFrom(c.cfg.Listen, c.cfg.ControlPort), TLS: c.tls, Hub: c.hub, Hot: c.hot, Drain: c.drain,
		Replicate: c.replicate, Log: c.log,
	})
	if err != nil {
		return err
	}
	if c.self.Control, err = c.reachableAt(c.port.Addr()); err != nil || !c.cfg.HasEtcd() && len(c.cfg.Seeds) == 0 {
		return err
	}
	c.gossip, err = gossip.Start(gossip.Config{
		ID: c.self.ID, Life: c.chair.life, Name: c.self.Name, Listen: netip.AddrPortFrom(c.cfg.Listen, c.cfg.GossipPort), Advertise: c.self.Addr.Addr(),
		KeyFile: c.cfg.GossipKeyFile, Seeds: c.seeds, Epoch: c.epoch, Log: c.log,
		Handlers: map[gossip.Kind]gossip.Handler{
			gossip.KindReplication:  func(origin uint64, payload []byte) bool { return c.driver.GossipReceived(origin, payload) },
			gossip.KindInvalidation: func(_ uint64, payload []byte) bool { return c.hub.Receive(BootNanos(), payload) },
		},
	})
	if err != nil {
		return err
	}
	c.self.Gossip, err = c.reachableAt(c.gossip.Addr())
	return err
}

// reachableAt is the address by which others reach a listener of this node.
func (c *cluster) reachableAt(listener string) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(listener)
	if err != nil {
		return at, fmt.Errorf("a listener's address: %w", err)
	}
	return netip.AddrPortFrom(c.self.Addr.Addr(), at.Port()), nil
}

func (c *cluster) newDriver(life uint64) error {
	origin := replication.Origin{Self: c.self.ID, Life: life, Shards: int(c.self.Shards)}
	state, memoryID, err := c.files.recall()
	if err != nil {
		return fmt.Errorf("read what this node remembers: %w", err)
	}
	origin.Remembered = state
	node, err := replication.NewNode(c.groupConfig(), origin, BootNanos())
	if err != nil {
		// What it has it does not know: it begins as one without items.
		c.log.Warn("what this node remembers cannot be used; it begins without its items", "error", err)
		origin.Remembered, memoryID = nil, 0
		if node, err = replication.NewNode(c.groupConfig(), origin, BootNanos()); err != nil {
			return err
		}
	}
	c.driver = transport.New(transport.Config{
		Node: node, Self: c.self.ID, Board: c.link.With, Clock: BootNanos, MemoryID: memoryID,
		Publish: c.publish, Renew: c.renew, ReadRing: c.readRing, Remember: c.remember, Gossip: c.sendGossip,
		Controller: c.chair.acting, Reported: func(r replication.Report) { c.chair.post(replication.Reported{Report: r}) },
		Dial: c.dial, Wake: func(shard int) { c.bell.Ring(shard, BootNanos()) },
		Wrote: c.announce, Watched: func() bool { return c.hub.Stats().Subscribers > 0 }, Log: c.log,
	})
	return nil
}

// run runs until the context ends.
func (c *cluster) run(ctx context.Context) error {
	if err := c.driver.Start(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.driver.Run(ctx) })
	group.Go(func() error { return c.chair.run(ctx) })
	group.Go(func() error { return c.hub.Run(ctx, BootNanos) })
	group.Go(func() error { return c.port.Run(ctx) })
	if c.tls != nil {
		group.Go(func() error { return c.tls.Run(ctx) })
	}
	if c.gossip != nil {
		group.Go(func() error { return c.runGossip(ctx) })
	}
	err := group.Wait()
	c.bell.Close()
	return err
}

// close lets go of what newCluster bound.
func (c *cluster) close() {
	if c.port != nil {
		_ = c.port.Close() // nothing was served
	}
	if c.gossip != nil {
		_ = c.gossip.Close() // nobody was joined
	}
}

// gossipPatience is how long gossip waits to hear from etcd whom to join.
const gossipPatience = 2 * time.Second

func (c *cluster) runGossip(ctx context.Context) error {
	patience := time.NewTimer(gossipPatience)
	defer patience.Stop()
	select {
	case <-c.listed:
	case <-patience.C:
	case <-ctx.Done():
	}
	return c.gossip.Run(ctx)
}

// runEtcd keeps this node's record in etcd and follows what stands there.
func (c *cluster) runEtcd(ctx context.Context, endpoints []string) error {
	client, err := NewEtcdClient(endpoints, c.tls)
	if err != nil {
		return err
	}
	store := &ringStore{
		ctx: ctx, client: client, log: c.log, node: c.driver.Post,
		both: func(ev replication.Event) { c.driver.Post(ev); c.chair.post(ev) }, swapped: c.chair.post,
	}
	membership := NewMembership(client, c.self, func() bool { return c.isListed() && c.chair.elected.Load() == 0 }, c.log)
	c.membership.Store(membership)
	c.etcd.Store(store)
	watch := &Watch{Client: client, Seen: c.seen, Log: c.log}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.undrain(ctx, store) })
	group.Go(func() error { return watch.Run(ctx) })
	group.Go(func() error { return membership.Run(ctx) })
	err = group.Wait()
	c.etcd.Store(nil)
	store.running.Wait()
	return errors.Join(err, client.Close())
}

func (c *cluster) isListed() bool {
	select {
	case <-c.listed:
		return true
	default:
		return false
	}
}

// seen takes what stands in etcd.
func (c *cluster) seen(v View, read bool) {
	c.mu.Lock()
	for _, m := range v.Members {
		c.members[m.ID] = m
	}
	c.mu.Unlock()
	registered := replication.Registered{}
	var partners []uint64
	for _, m := range v.Members {
		registered.Members = append(registered.Members, replication.Registration{Member: m})
		if m.ID != c.self.ID {
			partners = append(partners, m.ID)
		}
	}
	c.driver.Partner(partners)
	ev := replication.RecordSeen{Record: v.Record, Linear: read}
	c.chair.elected.Store(v.Controller)
	if v.Record.Ring != nil || read {
		c.driver.Post(ev)
		c.chair.post(ev)
	}
	c.chair.post(registered)
	c.driver.Post(replication.Want{Leave: slices.Contains(v.Draining, c.self.ID)})
	c.listedOnce.Do(func() { close(c.listed) })
	if m := c.membership.Load(); v.Controller == 0 && m != nil {
		m.Stand()
	}
}

// recall begins with the ring that was put up last, or without etcd with one of this
// node alone. epoch is the newest that the board has seen.
func (c *cluster) recall(onBoard []byte, epoch uint32) {
	rec, err := c.files.record()
	if err != nil {
		c.log.Warn("the ring of before cannot be used", "error", err)
	}
	if r, err := ring.Decode(onBoard); err == nil && r.Epoch() > rec.Epoch() {
		rec = replication.NewRecord(r, 0, nil)
	}
	if c.cfg.HasEtcd() {
		if rec.Ring != nil {
			// The controller waits for etcd's own word: only that has a revision to compare.
			c.driver.Post(replication.RecordSeen{Record: rec})
		}
		return
	}
	if rec.Ring == nil || !slices.Equal(rec.Ring.Members(), []ring.Member{c.withPoints(rec.Ring)}) {
		r, err := ring.Build(ring.Spec{Epoch: max(epoch, rec.Epoch()) + 1, Replicas: c.cfg.Replicas, Members: []ring.Member{c.self}})
		if err != nil {
			c.log.Error("make the ring of this node", "error", err)
			return
		}
		rec = replication.NewRecord(r, 0, nil)
	}
	rec.Blank = []uint64{c.chair.life} // alone there is nobody who could have items
	c.driver.Post(replication.RecordSeen{Record: rec, Linear: true})
}

// withPoints is this node as it would stand in a ring.
func (c *cluster) withPoints(r *ring.Ring) ring.Member {
	m := c.self
	if in := r.Member(m.ID); in != nil {
		m.Points = in.Points
	}
	return m
}

// publish puts a ring up for the data plane, for clients and for the time after.
func (c *cluster) publish(rec replication.Record) {
	c.mu.Lock()
	c.record = rec
	for _, m := range rec.Ring.Members() {
		if _, listed := c.members[m.ID]; !listed {
			c.members[m.ID] = m
		}
	}
	c.mu.Unlock()
	if err := c.files.putRecord(&rec); err != nil {
		c.log.Error("keep the ring", "error", err)
	}
	c.putUp()
	c.port.SetRing(rec.Ring)
}

// putUp brings the board up to the ring that holds.
func (c *cluster) putUp() {
	c.mu.Lock()
	r := c.record.Ring
	c.mu.Unlock()
	if r == nil {
		return
	}
	c.link.With(func(b *board.Board) {
		if b.Ring().Generation() != 0 && b.Ring().Epoch() == r.Epoch() {
			return
		}
		if err := b.Ring().Publish(r.Epoch(), r.AppendEncode(nil)); err != nil {
			c.log.Error("publish the ring", "error", err)
			return
		}
		c.log.Info("ring published", "epoch", r.Epoch(), "members", len(r.Members()))
	})
}

func (c *cluster) current() replication.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.record
}

func (c *cluster) epoch() uint32 {
	rec := c.current()
	return rec.Epoch()
}

// standing is this node's state in the ring; false when it is not in one.
func (c *cluster) standing() (ring.State, bool) {
	if r := c.current().Ring; r != nil {
		if m := r.Member(c.self.ID); m != nil {
			return m.State, true
		}
	}
	return 0, false
}

func (c *cluster) remember(state []byte, memoryID uint64) {
	if err := c.files.remember(state, memoryID); err != nil {
		c.log.Error("a restart of this process will not know what it promised", "error", err)
	}
}

// aloneRenewNanos is how often a node without others asks etcd: its own grant renews
// its fence.
const aloneRenewNanos = int64(1e9)

func (c *cluster) renew(revision int64) {
	s := c.etcd.Load()
	if s == nil {
		return
	}
	now := BootNanos()
	if rec := c.current(); len(rec.Voters()) < 2 && now-c.renewedAt < aloneRenewNanos {
		return
	}
	c.renewedAt = now
	s.renew(revision)
}

func (c *cluster) readRing() {
	if s := c.etcd.Load(); s != nil {
		s.read()
	}
}

func (c *cluster) swap(rec replication.Record) {
	if s := c.etcd.Load(); s != nil {
		s.swap(rec)
		return
	}
	c.chair.post(replication.Swapped{})
}

func (c *cluster) connected() bool {
	m := c.membership.Load()
	return m != nil && m.Connected()
}

func (c *cluster) sendGossip(to uint64, payload []byte) {
	if c.gossip != nil {
		_ = c.gossip.Send(to, gossip.KindReplication, payload) // counted there; it is said again
	}
}

// seeds are the gossip addresses that should be members.
func (c *cluster) seeds() []string {
	seeds := slices.Clone(c.cfg.Seeds)
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, m := range c.members {
		if id != c.self.ID && m.Gossip.IsValid() {
			seeds = append(seeds, m.Gossip.String())
		}
	}
	return seeds
}

func (c *cluster) member(id uint64) (ring.Member, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, ok := c.members[id]
	return m, ok
}

var errNoControlPort = errors.New("the member has no control port that is known")

// dial opens a replication stream to a member.
func (c *cluster) dial(ctx context.Context, id uint64) (net.Conn, error) {
	m, ok := c.member(id)
	if !ok || !m.Control.IsValid() {
		return nil, errNoControlPort
	}
	client := api.NewClient(m.Control.String(), c.tls, mtls.ClientOptions{Name: m.Name})
	defer client.Close()
	return client.Replicate(ctx)
}

// replicate has a stream that another node opened. With certificates it must be the
// node it says it is.
func (c *cluster) replicate(ctx context.Context, conn net.Conn, peer mtls.Identity) {
	c.driver.Accept(ctx, conn, func(id uint64) bool {
		if c.tls == nil {
			return true
		}
		m, ok := c.member(id)
		return ok && m.Name == peer.Name
	})
}

// spread hands invalidations to all other nodes.
func (c *cluster) spread(payload []byte) {
	if c.gossip != nil {
		_ = c.gossip.Broadcast(gossip.KindInvalidation, payload) // what gets lost is a gap, and noticed
	}
}

func (c *cluster) peerCount() int {
	if c.gossip == nil {
		return 0
	}
	return c.gossip.Count()
}

// announce tells of writes that were read from a log.
func (c *cluster) announce(writes []transport.Write) {
	c.writes = c.writes[:0]
	for _, w := range writes {
		c.writes = append(c.writes, invalidate.Write{Key: w.Key, Hash: w.Hash, Version: w.Version, Cached: w.Cached, Lost: w.Lost})
	}
	c.hub.Announce(BootNanos(), c.writes)
}

// hot merges the shards' reports.
func (c *cluster) hot() []api.HotKey {
	var keys []api.HotKey
	c.link.With(func(b *board.Board) {
		for shard := range b.Shards() {
			for _, k := range b.HotKeys(shard).Get() {
				keys = append(keys, api.HotKey{
					Key: slices.Clone(k.Key), Requests: k.Count, InKernel: k.InKernel, KernelHits: k.KernelHits,
					GrantMillis: k.GrantMillis, Grants: k.Grants,
				})
			}
		}
	})
	slices.SortStableFunc(keys, func(a, b api.HotKey) int { return int(int64(b.Requests) - int64(a.Requests)) })
	return keys
}

// drain asks for a node to leave the ring. The wish stands in etcd, where that node
// sees it.
func (c *cluster) drain(ctx context.Context, name string) error {
	if name == "" {
		name = c.self.Name
	}
	rec, store := c.current(), c.etcd.Load()
	if rec.Ring == nil || store == nil {
		return fmt.Errorf("%w: this node is not one of a cluster with etcd", api.ErrNotNow)
	}
	members := rec.Ring.Members()
	at := slices.IndexFunc(members, func(m ring.Member) bool { return m.Name == name })
	if at < 0 {
		return api.ErrUnknownNode
	}
	stays := func(m ring.Member) bool { return m.Name != name && m.State == ring.Active }
	if !slices.ContainsFunc(members, stays) {
		return fmt.Errorf("%w: no other node is active, and its items would have nowhere to go", api.ErrNotNow)
	}
	ctx, cancel := context.WithTimeout(ctx, etcdCallLongest)
	defer cancel()
	if _, err := store.client.Put(ctx, drainKeyOf(members[at].ID), name); err != nil {
		return fmt.Errorf("%w: etcd does not take the wish: %w", api.ErrNotNow, err)
	}
	return nil
}

// undrain takes an earlier wish back: who starts a node wants it in the ring.
func (c *cluster) undrain(ctx context.Context, store *ringStore) error {
	for ctx.Err() == nil {
		once, cancel := context.WithTimeout(ctx, etcdCallLongest)
		_, err := store.client.Delete(once, drainKeyOf(c.self.ID))
		cancel()
		if err == nil {
			return nil
		}
		sleep(ctx, keepAliveInterval)
	}
	return nil
}

// makeDataDir makes the directory for what this process keeps there.
func makeDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data-dir: %w; choose another with --data-dir", err)
	}
	return nil
}
