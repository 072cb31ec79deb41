package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"gannet/board"
	"gannet/config"
	"gannet/ring"
)

const (
	tickInterval = 10 * time.Millisecond
	// Every so many ticks comes the work that may be slower.
	slowTicks = 10
	// A probe answers within microseconds; a lost one should not cost a start-up.
	probeWait = 100 * time.Millisecond
)

// Options are what a control process is made of.
type Options struct {
	Config *config.Loaded
	// Supervise starts and restarts the data plane; else somebody else does.
	Supervise bool
	// DieWithParent: see Supervisor.
	DieWithParent bool
	Environ       []string
	Output        io.Writer // for the data plane's own output
	Log           *slog.Logger
	Version       string
}

// Control is the control process of one node.
type Control struct {
	cfg        *config.Config
	log        *slog.Logger
	version    string
	link       *Link
	supervisor *Supervisor // nil: somebody else starts the data plane
	deadMan    *DeadMan
	prober     *Prober
	registry   *prometheus.Registry
	admin      *admin
	self       ring.Member
	ready      chan struct{}
	lastTick   atomic.Int64
	served     atomic.Uint64 // data planes seen serving

	mu         sync.Mutex // guards what follows; held for moments only
	fence      *Fence
	published  *ring.Ring
	membership *Membership // nil: no etcd is configured, or it has not started
	etcd       *Etcd       // nil: not embedded, or it has not started

	// Owned by the tick.
	watchdog   *Watchdog
	starvation *starvation
	process    *Process
	serving    Target // seen serving last
	attached   bool
	settled    bool   // a ring stands on the board
	heldStarts uint64 // the data plane's starts when it last served on XDP
}

// New prepares a control process and binds its admin port. Nothing runs yet.
func New(opts Options) (*Control, error) {
	cfg := &opts.Config.Config
	allowed, err := AllowedCPUs()
	if err != nil {
		return nil, err
	}
	place, err := cfg.Place(allowed)
	if err != nil {
		return nil, err
	}
	c := &Control{
		cfg: cfg, log: opts.Log, version: opts.Version,
		link:       NewLink(cfg.DataDir, opts.Log),
		deadMan:    NewDeadMan(opts.Log),
		prober:     NewProber(probeWait),
		ready:      make(chan struct{}),
		fence:      NewFence(),
		watchdog:   NewWatchdog(cfg.Watchdog.Nanoseconds(), tickInterval.Nanoseconds()),
		starvation: newStarvation("/proc", tickInterval.Nanoseconds()/4),
		self: ring.Member{
			ID: cfg.NodeID, Name: cfg.NodeName, Weight: 1, Shards: uint16(len(place.CPUs)),
			Addr: netip.AddrPortFrom(reachable(cfg.Listen), cfg.DataPort),
		},
	}
	if opts.Supervise {
		if c.supervisor, err = newSupervisor(c, opts, place); err != nil {
			return nil, err
		}
	}
	c.registry = newRegistry(c)
	if c.admin, err = newAdmin(c, opts.Log); err != nil {
		return nil, err
	}
	return c, nil
}

func newSupervisor(c *Control, opts Options, place config.Placement) (*Supervisor, error) {
	binary, err := FindDataplane(opts.Config.DataplaneBinary)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(opts.Config.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data-dir: %w; choose another with --data-dir", err)
	}
	return &Supervisor{
		Binary: binary, Args: opts.Config.FlagArgs(config.ScopeDataplane), Environ: opts.Environ,
		Output: opts.Output, DieWithParent: opts.DieWithParent, Confine: place.Others,
		Link: c.link, Log: opts.Log,
		Served: c.served.Load,
		Adopt:  func(info board.NodeInfo) bool { return c.wanted(info, len(place.CPUs)) },
	}, nil
}

// wanted tells whether a data plane that runs already is the one this configuration
// asks for, as far as clients can see it.
func (c *Control) wanted(info board.NodeInfo, shards int) bool {
	return info.NodeID == c.cfg.NodeID && info.BasePort == c.cfg.DataPort && len(info.Shards) == shards &&
		info.ConfigHash == c.cfg.Hash()
}

// Ready is closed when the node has answered its first request.
func (c *Control) Ready() <-chan struct{} { return c.ready }

// AdminAddr is where the admin port listens.
func (c *Control) AdminAddr() string { return c.admin.listener.Addr().String() }

// EtcdURL is where the embedded etcd listens for clients; empty: there is none.
func (c *Control) EtcdURL() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.etcd == nil {
		return ""
	}
	return c.etcd.ClientURL
}

// NodeInfo is what the data plane says about itself; false before it serves.
func (c *Control) NodeInfo() (info board.NodeInfo, ok bool) {
	c.link.With(func(b *board.Board) { info, ok = b.Node().Info() })
	return info, ok
}

// Run runs until the context ends or something fails that waiting cannot mend. The
// data plane is drained while the fence is still renewed; the rest ends afterwards.
func (c *Control) Run(ctx context.Context) error {
	rest, stopRest := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRest()
	first, ctx := errgroup.WithContext(ctx)
	others, rest := errgroup.WithContext(rest)

	others.Go(c.admin.run)
	others.Go(func() error { return c.tick(rest) })
	others.Go(func() error { return c.awaitReady(rest) })
	if c.supervisor == nil {
		c.confineSelf()
	} else {
		first.Go(func() error { return c.supervisor.Run(ctx) })
	}
	first.Go(func() error { return c.runEtcd(ctx) })
	first.Go(func() error { // a failure among the others ends the first
		select {
		case <-rest.Done():
			return context.Cause(rest)
		case <-ctx.Done():
			return nil
		}
	})
	err := first.Wait()
	stopRest()
	c.admin.close()
	err = errors.Join(err, others.Wait())
	c.close()
	return err
}

// confineSelf withdraws a control process that runs by itself from the shards' CPUs.
func (c *Control) confineSelf() {
	allowed, err := AllowedCPUs()
	if err != nil {
		return
	}
	place, err := c.cfg.Place(allowed)
	if err != nil || len(place.Others) == 0 {
		return
	}
	if err := confine(place.Others, 0); err != nil {
		c.log.Warn("the control process shares the shards' CPUs", "error", err)
	}
}

func (c *Control) close() {
	c.deadMan.Release()
	_ = c.prober.Close() // a socket without state
	if c.process != nil {
		_ = c.process.Close()
	}
	if err := c.link.Close(); err != nil {
		c.log.Warn("unmap the board", "error", err)
	}
}

// runEtcd starts the embedded server if there shall be one, and keeps this node's
// membership. Without etcd the node is a ring of its own.
func (c *Control) runEtcd(ctx context.Context) error {
	if c.cfg.EtcdEmbed {
		etcd, err := StartEtcd(ctx, c.cfg.NodeName, c.cfg.EtcdDir, c.cfg.EtcdClientURL, c.cfg.EtcdPeerURL, c.log)
		if err != nil {
			return err
		}
		defer etcd.Close()
		c.setEtcd(etcd)
		inner, cancel := cancelOn(ctx, etcd.Failed())
		defer cancel()
		return c.runMembership(ctx, inner, []string{etcd.ClientURL})
	}
	if len(c.cfg.EtcdEndpoints) == 0 {
		return nil // the tick publishes a ring of this node alone
	}
	return c.runMembership(ctx, ctx, c.cfg.EtcdEndpoints)
}

// runMembership runs until inner ends; that is a failure when outer has not ended.
func (c *Control) runMembership(outer, inner context.Context, endpoints []string) error {
	client, err := NewEtcdClient(endpoints)
	if err != nil {
		return err
	}
	defer client.Close()
	m := &Membership{
		Client: client, Self: c.self, Log: c.log,
		Served: c.servedEpoch, Publish: c.setRing, KeptAlive: c.keptAlive,
	}
	c.setMembership(m)
	err = m.Run(inner)
	if outer.Err() == nil && inner.Err() != nil {
		return errors.Join(err, context.Cause(inner))
	}
	return err
}

// cancelOn ends the context with an error that arrives on failed.
func cancelOn(ctx context.Context, failed <-chan error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case err := <-failed:
			cancel(fmt.Errorf("embedded etcd: %w", err))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

func (c *Control) setEtcd(e *Etcd) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.etcd = e
}

func (c *Control) setMembership(m *Membership) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.membership = m
}

func (c *Control) etcdConnected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.membership != nil && c.membership.Connected()
}

func (c *Control) restarts() uint64 {
	if c.supervisor == nil {
		return 0
	}
	return c.supervisor.Restarts()
}

func (c *Control) servedEpoch() (epoch uint32) {
	c.link.With(func(b *board.Board) { epoch = b.Ring().Epoch() })
	return epoch
}

func (c *Control) keptAlive(sentNanos int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fence.KeepAlive(sentNanos)
}

// setRing makes a ring the one that the tick publishes and the fence counts by.
func (c *Control) setRing(r *ring.Ring) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.published != nil && c.published.Epoch() >= r.Epoch() {
		return
	}
	c.published = r
	ids := make([]uint64, len(r.Members()))
	for i, m := range r.Members() {
		ids[i] = m.ID
	}
	c.fence.SetMembers(ids)
}

// tick is the heart of the process: one clock reading, then the step functions.
func (c *Control) tick(ctx context.Context) error {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	for n := 0; ; n++ {
		now := BootNanos()
		c.lastTick.Store(now)
		slow := n%slowTicks == 0
		if slow || !c.attached || !c.settled {
			c.keepBoard(now)
		}
		if slow {
			c.holdDeadMan()
		}
		c.renewFence(now)
		c.watch(now)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// keepBoard holds on to the board under its name, and keeps the ring on it. It costs
// system calls, so that once the node stands, only slow ticks do it.
func (c *Control) keepBoard(now int64) {
	if c.link.Refresh() {
		c.link.With(func(b *board.Board) { b.Control().Start(os.Getpid(), now) })
	}
	c.recallRing()
	c.publishRing()
	c.link.With(func(b *board.Board) {
		c.attached, c.settled = true, b.Ring().Generation() != 0
	})
}

// recallRing takes the ring that stands on the board while etcd has given none: this
// process was restarted, and etcd may be gone. Without etcd it makes one.
func (c *Control) recallRing() {
	c.mu.Lock()
	known := c.published != nil
	c.mu.Unlock()
	if known {
		return
	}
	attached := false
	var encoded []byte
	c.link.With(func(b *board.Board) {
		attached = true
		encoded, _, _ = b.Ring().Read(nil)
	})
	if r, err := ring.Decode(encoded); err == nil && slices.Contains(r.Members(), c.self) {
		c.setRing(r)
		return
	}
	if attached && len(c.cfg.EtcdEndpoints) == 0 && !c.cfg.EtcdEmbed {
		c.standAlone()
	}
}

func (c *Control) standAlone() {
	r, err := ring.New(c.servedEpoch()+1, []ring.Member{c.self})
	if err != nil {
		c.log.Error("make the ring of this node", "error", err)
		return
	}
	c.setRing(r)
}

// publishRing brings the board up to the ring that holds.
func (c *Control) publishRing() {
	c.mu.Lock()
	r := c.published
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

// holdDeadMan holds the data ports while the data plane stands on an XDP rung and
// does not need them itself.
func (c *Control) holdDeadMan() {
	f := c.link.facts()
	serving := f.phase == board.PhaseServing
	if !f.attached || serving && !f.onXDP() {
		c.deadMan.Release()
		return
	}
	if !serving && f.starts >= c.heldStarts+2 {
		// It came up again and failed: perhaps on another rung, for want of these ports.
		c.deadMan.Release()
		return
	}
	if serving && f.info.Shards[0].Interface != "lo" {
		c.heldStarts = f.starts
		if err := c.deadMan.Hold(c.cfg.Listen, c.cfg.DataPort, len(f.info.Shards)); err != nil {
			c.log.Warn("no answer will come for a silent data plane", "error", err)
		}
	}
}

func (c *Control) renewFence(now int64) {
	c.mu.Lock()
	c.fence.Grant(c.self.ID, now)
	deadline := c.fence.DeadlineNanos()
	c.mu.Unlock()
	c.link.With(func(b *board.Board) {
		b.Control().Beat(now)
		if deadline > b.Fence().Nanos() {
			b.Fence().Set(deadline)
		}
	})
}

// watch lets the watchdog look, and does what it says.
func (c *Control) watch(now int64) {
	var target Target
	var beats []int64
	serving := false
	c.link.With(func(b *board.Board) {
		target.PID, target.StartTicks = b.Node().PID()
		serving = b.Node().Phase() == board.PhaseServing
		for shard := range b.Shards() {
			beats = append(beats, b.Heartbeat(shard).Nanos())
		}
	})
	if serving && target != c.serving {
		c.serving = target
		c.served.Add(1)
	}
	c.follow(target)
	verdict := c.watchdog.Tick(now, target, serving, beats, func() bool { return c.starvation.look(target.PID) })
	if !verdict.Kill || c.process == nil {
		return
	}
	if err := c.process.Signal(unix.SIGKILL); err != nil {
		if !errors.Is(err, ErrGone) {
			c.log.Error("kill the frozen data plane", "pid", target.PID, "error", err)
		}
		return
	}
	c.link.With(func(b *board.Board) { b.Control().CountKill() })
	c.log.Warn("data plane was frozen: killed", "pid", target.PID, "shard", verdict.Shard,
		"silent", time.Duration(verdict.SilentNanos))
}

// follow keeps a handle on the data plane that the board names.
func (c *Control) follow(target Target) {
	if c.process != nil && c.process.Target == target {
		return
	}
	if c.process != nil {
		_ = c.process.Close()
		c.process = nil
	}
	if target.PID == 0 {
		return
	}
	if process, err := OpenProcess(target); err == nil {
		c.process = process
	} else if !errors.Is(err, ErrGone) {
		c.log.Error("the watchdog has no hold on the data plane", "error", err)
	}
}

// awaitReady closes ready when the node answers for the first time.
func (c *Control) awaitReady(ctx context.Context) error {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	for {
		if c.Readiness(ctx).Ready {
			close(c.ready)
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
