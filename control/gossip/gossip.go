package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// Up to so many other members, a broadcast is a datagram to each at once.
	directMembers = 16
	// A queue's messages fill this many datagrams at most.
	maxQueued = 256
	// More often than the library's 200 ms: invalidations wait for it.
	roundEvery = 50 * time.Millisecond
	roundNodes = 4

	rejoinEvery   = 10 * time.Second
	rejoinAtOnce  = 4
	joinLongest   = 2 * time.Second
	leaveLongest  = time.Second
	lookEvery     = time.Second
	updateLongest = time.Second
	label         = "gannet"
)

// Handler takes a payload, which is its own only until it returns, from the node that
// spoke first, as it claims: whoever holds a key may claim anything. It says whether
// the payload was news to it; news of a broadcast is passed on.
type Handler func(origin uint64, payload []byte) (news bool)

// Config is what a Gossip is made of.
type Config struct {
	ID uint64 // of this node in the ring
	// Life is greater after each start, e.g. the wall clock: the others know by it that
	// whoever they heard before has gone.
	Life uint64
	Name string // for people
	// Listen is where it listens, by TCP and UDP; port 0: any free one.
	Listen netip.AddrPort
	// Advertise is the address others reach it at; needed if Listen is unspecified
	// (0.0.0.0 or ::).
	Advertise netip.Addr
	// KeyFile has the keys; empty: gossip is not encrypted, which only a trusted
	// network bears.
	KeyFile string
	// Seeds returns addresses (host:port) that should be members: configured ones,
	// and those of the ring.
	Seeds func() []string
	// Epoch is that of the ring this node serves.
	Epoch    func() uint32
	Handlers map[Kind]Handler
	Log      *slog.Logger

	rejoinEvery time.Duration                                                              // of tests
	tune        func(*memberlist.Config)                                                   // of tests
	wrap        func(memberlist.NodeAwareTransport) (memberlist.NodeAwareTransport, error) // of tests
}

// Gossip is this node among the members.
type Gossip struct {
	cfg     Config
	list    *memberlist.Memberlist
	members *members
	keys    *keyFile // nil: not encrypted
	queues  [kindCount]memberlist.TransmitLimitedQueue
	epoch   atomic.Uint32
	addr    string
	counts  counters

	handling sync.Mutex // held while a handler runs
}

// ErrNoAddress says that the address others can use is not known.
var ErrNoAddress = errors.New("gossip listens on all addresses and does not know which one others can use; listen on one address of this machine, or say which one to advertise")

// Start listens. Nobody is joined before Run.
func Start(cfg Config) (*Gossip, error) {
	if cfg.rejoinEvery == 0 {
		cfg.rejoinEvery = rejoinEvery
	}
	if len(cfg.Name) > maxNameBytes {
		return nil, fmt.Errorf("gossip: the name %q is longer than %d bytes", cfg.Name, maxNameBytes)
	}
	if cfg.Listen.Addr().IsUnspecified() && !cfg.Advertise.IsValid() {
		return nil, ErrNoAddress
	}
	g := &Gossip{cfg: cfg, members: newMembers(cfg.ID)}
	g.epoch.Store(cfg.Epoch())
	for i := range g.queues {
		g.queues[i] = memberlist.TransmitLimitedQueue{
			NumNodes:       func() int { return g.members.count() + 1 },
			RetransmitMult: 4,
		}
	}
	if cfg.KeyFile == "" {
		cfg.Log.Warn("gossip is not encrypted; give a gossip-key-file unless the network is trusted")
	} else {
		var err error
		if g.keys, err = openKeys(cfg.KeyFile); err != nil {
			return nil, err
		}
	}
	config, err := g.listConfig()
	if err != nil {
		return nil, err
	}
	if g.list, err = memberlist.Create(config); err != nil {
		return nil, errors.Join(fmt.Errorf("gossip on %s (choose another with --gossip-port): %w", cfg.Listen, err), config.Transport.Shutdown())
	}
	g.addr = g.list.LocalNode().Address()
	return g, nil
}

func (g *Gossip) listConfig() (*memberlist.Config, error) {
	c := memberlist.DefaultLANConfig()
	c.Name, c.Label = wireName(g.cfg.ID, g.cfg.Life), label
	c.BindAddr, c.BindPort = g.cfg.Listen.Addr().String(), int(g.cfg.Listen.Port())
	c.GossipInterval, c.GossipNodes = roundEvery, roundNodes
	c.TCPTimeout = joinLongest
	c.EnableCompression = false // LZW costs more than it saves on messages like these
	c.Delegate, c.Events = g, g.members
	c.Logger = newLogger(g.cfg.Log)
	if g.keys != nil {
		c.Keyring = g.keys.ring
	}
	if g.cfg.tune != nil {
		g.cfg.tune(c)
	}
	transport, err := g.listen(c)
	if err != nil {
		return nil, err
	}
	c.Transport = transport
	if g.cfg.Advertise.IsValid() {
		_, port, err := transport.FinalAdvertiseAddr("", 0)
		if err != nil {
			return nil, errors.Join(err, transport.Shutdown())
		}
		c.AdvertiseAddr, c.AdvertisePort = g.cfg.Advertise.String(), port
	}
	return c, nil
}

// listen opens the sockets. TCP and UDP have one number; a free one for both is found
// by trying.
func (g *Gossip) listen(c *memberlist.Config) (transport memberlist.NodeAwareTransport, err error) {
	for range 10 {
		transport, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{c.BindAddr}, BindPort: c.BindPort, Logger: c.Logger,
		})
		if err == nil || c.BindPort != 0 {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("gossip on %s (choose another with --gossip-port): %w", g.cfg.Listen, err)
	}
	if g.cfg.wrap != nil {
		return g.cfg.wrap(transport)
	}
	return transport, nil
}

// Run joins the others, and joins again whoever got lost, until the context ends;
// then it leaves and closes everything.
func (g *Gossip) Run(ctx context.Context) error {
	var joining sync.WaitGroup
	joining.Go(func() { g.keepJoining(ctx) })
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			g.look()
		case <-ctx.Done():
			joining.Wait()
			return g.Close()
		}
	}
}

// keepJoining waits for others that may not answer; hence it has its own goroutine.
func (g *Gossip) keepJoining(ctx context.Context) {
	tick := time.NewTicker(g.cfg.rejoinEvery)
	defer tick.Stop()
	for {
		g.rejoin(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look follows the key file and this node's epoch.
func (g *Gossip) look() {
	if g.keys != nil {
		switch changed, err := g.keys.refresh(); {
		case err != nil:
			g.cfg.Log.Error("gossip keys not reloaded; the former ones stay in use", "error", err)
		case changed:
			g.counts.keyReloads.Add(1)
			g.cfg.Log.Info("gossip keys reloaded", "keys", len(g.keys.ring.GetKeys()))
		}
	}
	if epoch := g.cfg.Epoch(); g.epoch.Swap(epoch) != epoch {
		if err := g.list.UpdateNode(updateLongest); err != nil {
			g.cfg.Log.Debug("spread this node's epoch", "error", err) // it goes on by itself
		}
	}
}

// rejoin tries a few of the seeds that are not members: a cluster that was split
// becomes one again by it.
func (g *Gossip) rejoin(ctx context.Context) {
	lost := g.lost(ctx)
	rand.Shuffle(len(lost), func(i, j int) { lost[i], lost[j] = lost[j], lost[i] })
	for _, addr := range lost[:min(len(lost), rejoinAtOnce)] {
		if ctx.Err() != nil {
			return
		}
		g.counts.joins.Add(1)
		if _, err := g.list.Join([]string{addr}); err != nil {
			g.counts.joinsFailed.Add(1)
			g.cfg.Log.Debug("no gossip with a seed; trying again", "seed", addr, "error", err)
		}
	}
}

// lost resolves the seeds and leaves out this node and the members.
func (g *Gossip) lost(ctx context.Context) (lost []string) {
	seen := map[string]bool{g.Addr(): true}
	for _, m := range g.members.list() {
		seen[m.Addr] = true
	}
	for _, seed := range g.cfg.Seeds() {
		for _, addr := range resolve(ctx, seed) {
			if !seen[addr] {
				seen[addr] = true
				lost = append(lost, addr)
			}
		}
	}
	return lost
}

// resolve returns all addresses of a seed; of one that has none now, none.
func resolve(ctx context.Context, seed string) (addrs []string) {
	host, port, err := net.SplitHostPort(seed)
	if err != nil {
		return nil // the configuration checks its seeds
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []string{net.JoinHostPort(ip.Unmap().String(), port)}
	}
	ctx, cancel := context.WithTimeout(ctx, joinLongest)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	for _, ip := range ips {
		addrs = append(addrs, net.JoinHostPort(ip.Unmap().String(), port))
	}
	return addrs
}

// Close leaves and closes everything. Run does it at its end. A probe under way in the
// library ends by itself within its half a second.
func (g *Gossip) Close() error {
	if err := g.list.Leave(leaveLongest); err != nil {
		g.cfg.Log.Debug("leave the gossip", "error", err) // the others will notice
	}
	if err := g.list.Shutdown(); err != nil {
		return fmt.Errorf("close the gossip: %w", err)
	}
	return nil
}

// Addr is the address that others are told.
func (g *Gossip) Addr() string { return g.addr }

// Members are the others that are heard of, in the order of their ids.
func (g *Gossip) Members() []Member { return g.members.list() }

// Count is the number of Members.
func (g *Gossip) Count() int { return g.members.count() }

// Changed is signalled when Members changed; several changes may be one signal.
func (g *Gossip) Changed() <-chan struct{} { return g.members.changed }

// The ways a message cannot be sent.
var (
	ErrTooLarge  = fmt.Errorf("gossip: the payload is larger than %d bytes; split it", MaxPayload)
	ErrNoMember  = errors.New("gossip: no such member is heard of")
	errWrongKind = errors.New("gossip: no such kind of message")
)

func check(kind Kind, payload []byte) error {
	if kind >= kindCount {
		return errWrongKind
	}
	if len(payload) > MaxPayload {
		return ErrTooLarge
	}
	return nil
}

// Send sends one datagram to a member, or to where one was heard of last. No error
// does not mean that it arrives.
func (g *Gossip) Send(to uint64, kind Kind, payload []byte) error {
	if err := check(kind, payload); err != nil {
		return err
	}
	member, ok := g.members.find(to)
	if !ok {
		return ErrNoMember
	}
	e := envelope{kind: kind, origin: g.cfg.ID, payload: payload}
	return g.send(&member, kind, e.encode())
}

func (g *Gossip) send(to *Member, kind Kind, message []byte) error {
	err := g.list.SendToAddress(memberlist.Address{Addr: to.Addr, Name: wireName(to.ID, to.Life)}, message)
	if err != nil {
		g.counts.sendsFailed[kind].Add(1)
		return fmt.Errorf("gossip to %s (%s): %w", to.Name, to.Addr, err)
	}
	g.counts.sent[kind].Add(1)
	return nil
}

// Broadcast spreads a message to all members. It keeps no reference to payload.
func (g *Gossip) Broadcast(kind Kind, payload []byte) error {
	if err := check(kind, payload); err != nil {
		return err
	}
	g.counts.broadcasts[kind].Add(1)
	others := g.members.list()
	e := envelope{kind: kind, origin: g.cfg.ID, payload: payload, passOn: len(others) > directMembers}
	message := e.encode()
	if e.passOn {
		g.enqueue(kind, message)
		return nil
	}
	for i := range others {
		_ = g.send(&others[i], kind, message) // has been counted; the others shall have it
	}
	return nil
}
