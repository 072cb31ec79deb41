package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"gannet/board"
	"gannet/config"
	"gannet/control/pacing"
	"gannet/ring"
)

const (
	tickInterval = 10 * time.Millisecond
	// Every so many ticks comes the work that may be slower.
	slowTicks = 10
	// Every so many ticks clients that lose replies are given another rate.
	governTicks = 2
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
	opening    opening
	ready      chan struct{}
	lastTick   atomic.Int64
	served     atomic.Uint64 // data planes seen serving

	cluster *cluster

	mu   sync.Mutex // guards what follows; held for moments only
	etcd *Etcd      // nil: not embedded, or it has not started

	// Owned by the tick.
	governor   pacing.Governor
	watchdog   *Watchdog
	starvation *starvation
	process    *Process
	serving    Target // seen serving last
	attached   bool
	recalled   bool   // the ring of before was looked for
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
	if err := makeDataDir(cfg.DataDir); err != nil {
		return nil, err
	}
	c := &Control{
		cfg: cfg, log: opts.Log, version: opts.Version,
		link:       NewLink(cfg.DataDir, opts.Log),
		deadMan:    NewDeadMan(opts.Log),
		prober:     NewProber(probeWait),
		ready:      make(chan struct{}),
		watchdog:   NewWatchdog(cfg.Watchdog.Nanoseconds(), tickInterval.Nanoseconds()),
		starvation: newStarvation("/proc", tickInterval.Nanoseconds()/4),
		self: ring.Member{
			ID: cfg.NodeID, Name: cfg.NodeName, Zone: cfg.Zone, Weight: cfg.Weight, Shards: uint16(len(place.CPUs)),
			Addr: netip.AddrPortFrom(advertised(cfg), cfg.DataPort),
		},
	}
	if c.cluster, err = newCluster(cfg, c.link, c.self, opts.Log); err != nil {
		return nil, err
	}
	if opts.Supervise {
		if c.supervisor, err = newSupervisor(c, opts, place); err != nil {
			c.cluster.close()
			return nil, err
		}
	}
	c.registry = newRegistry(c)
	if c.admin, err = newAdmin(c, opts.Log); err != nil {
		c.cluster.close()
		return nil, err
	}
	return c, nil
}

// advertised is the address by which others reach this node.
func advertised(cfg *config.Config) netip.Addr {
	if cfg.Advertise.IsValid() {
		return cfg.Advertise
	}
	return reachable(cfg.Listen)
}

func newSupervisor(c *Control, opts Options, place config.Placement) (*Supervisor, error) {
	binary, err := FindDataplane(opts.Config.DataplaneBinary)
	if err != nil {
		return nil, err
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

// ControlAddr is where the control port listens.
func (c *Control) ControlAddr() string { return c.cluster.port.Addr() }

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
	others.Go(func() error { return c.cluster.run(rest) })
	others.Go(func() error { return c.runEtcd(rest) })
	if c.supervisor == nil {
		c.confineSelf()
	} else {
		first.Go(func() error { return c.supervisor.Run(ctx) })
	}
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
		etcd, err := StartEtcd(ctx, c.cfg.NodeName, c.cfg.EtcdDir, c.cfg.EtcdClientURL, c.cfg.EtcdPeerURL, tlsFiles(c.cfg), c.log)
		if err != nil {
			return err
		}
		defer etcd.Close()
		c.setEtcd(etcd)
		inner, cancel := cancelOn(ctx, etcd.Failed())
		defer cancel()
		err = c.cluster.runEtcd(inner, []string{etcd.ClientURL})
		if ctx.Err() == nil && inner.Err() != nil {
			return errors.Join(err, context.Cause(inner))
		}
		return err
	}
	if len(c.cfg.EtcdEndpoints) == 0 {
		return nil // the node is a ring of its own
	}
	return c.cluster.runEtcd(ctx, c.cfg.EtcdEndpoints)
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

func (c *Control) etcdConnected() bool { return c.cluster.connected() }

func (c *Control) restarts() uint64 {
	if c.supervisor == nil {
		return 0
	}
	return c.supervisor.Restarts()
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
		c.link.With(func(b *board.Board) {
			b.Control().Beat(now)
			if n%governTicks == 0 {
				c.governor.Step(b, now)
			}
		})
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
	c.recall()
	c.cluster.putUp()
	c.link.With(func(b *board.Board) {
		c.attached, c.settled = true, b.Ring().Generation() != 0
	})
}

// recall begins with the ring that stands on the board: this process was restarted,
// and etcd may be gone.
func (c *Control) recall() {
	if c.recalled {
		return
	}
	var encoded []byte
	var epoch uint32
	c.recalled = c.link.With(func(b *board.Board) {
		encoded, _, _ = b.Ring().Read(nil)
		epoch = b.Ring().Epoch()
	})
	if c.recalled {
		c.cluster.recall(encoded, epoch)
	}
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
