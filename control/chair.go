package control

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gannet/replication"
	"gannet/ring"
)

const (
	// The controller's clock, while there are others and while there are none.
	chairTick     = 10 * time.Millisecond
	chairIdleTick = 200 * time.Millisecond
	// A controller that was not heard for so long is not waited for: its deputy decides.
	deputyAfterNanos = int64(500e6)
	readdressNanos   = int64(500e6)
	frozenNanos      = int64(1e9)
)

// chair runs the group's controller on one goroutine. Which node is the controller
// etcd's election says; while that one does not answer, the next one in the order of
// the ids acts for it, long before its lease lapses. Two that act at once do no harm:
// the comparison of revisions in etcd puts their decisions in order.
type chair struct {
	self uint64
	// reaches says whether another node was heard since a moment.
	reaches func(node uint64, sinceNanos int64) bool
	swap    func(replication.Record)
	log     *slog.Logger

	life        uint64 // of this process
	core        *replication.Controller
	epochs      map[uint64]uint32 // that nodes have reported last
	readdressed int64
	frozenAt    int64
	warned      bool
	bell        chan struct{} // of capacity 1
	elected     atomic.Uint64 // by etcd; 0: nobody
	acts        atomic.Bool   // this node
	frozen      atomic.Pointer[string]

	mu         sync.Mutex
	inbox      []replication.Event           // guarded by mu
	record     replication.Record            // guarded by mu: the newest seen
	registered []ring.Member                 // guarded by mu
	reports    map[uint64]replication.Report // guarded by mu: the last of each, for operators
}

func newChair(cfg replication.Config, self, life uint64, log *slog.Logger) *chair {
	return &chair{
		self: self, life: life, log: log, core: replication.NewController(cfg, self, BootNanos()),
		epochs: map[uint64]uint32{}, bell: make(chan struct{}, 1), reports: map[uint64]replication.Report{},
	}
}

// post gives it an event, from any goroutine.
func (c *chair) post(ev replication.Event) {
	c.mu.Lock()
	c.inbox = append(c.inbox, ev)
	switch e := ev.(type) {
	case replication.RecordSeen:
		if e.Record.Epoch() > c.record.Epoch() {
			c.record = e.Record
		}
	case replication.Reported:
		c.reports[e.Report.From] = e.Report
	case replication.Registered:
		c.registered = c.registered[:0:0]
		for _, r := range e.Members {
			c.registered = append(c.registered, r.Member)
		}
	}
	c.mu.Unlock()
	select {
	case c.bell <- struct{}{}:
	default:
	}
}

// acting is the node whose controller decides now, as far as this node can see.
func (c *chair) acting() uint64 {
	elected := c.elected.Load()
	since := BootNanos() - deputyAfterNanos
	if elected == c.self || elected != 0 && c.reaches(elected, since) {
		return elected
	}
	c.mu.Lock()
	record := c.record
	c.mu.Unlock()
	if record.Ring == nil || len(record.Voters()) < 2 {
		return elected
	}
	for _, id := range record.Voters() {
		if id == c.self || id != elected && c.reaches(id, since) {
			return id
		}
	}
	return elected
}

func (c *chair) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.bell:
		case <-timer.C:
		}
		c.turn()
		timer.Reset(c.pause())
	}
}

func (c *chair) pause() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.registered) > 1 || c.record.Ring != nil && len(c.record.Ring.Members()) > 1 {
		return chairTick
	}
	return chairIdleTick
}

func (c *chair) turn() {
	c.mu.Lock()
	events := c.inbox
	c.inbox = nil
	c.mu.Unlock()
	if acts := c.acting() == c.self; acts != c.acts.Load() {
		c.acts.Store(acts)
		c.step(replication.Elected{Yes: acts})
	}
	for _, ev := range events {
		if r, ok := ev.(replication.Reported); ok {
			c.epochs[r.Report.From] = r.Report.Epoch
		}
		c.step(ev)
	}
	c.step(replication.Tick{})
	c.warn()
	if now := BootNanos(); now-c.readdressed >= readdressNanos {
		c.readdressed = now
		c.readdress()
	}
}

// warn says that the ring is frozen once it has been for a while: between two epochs
// it always is.
func (c *chair) warn() {
	why := c.frozen.Load()
	if c.warned || why == nil || *why == "" || BootNanos()-c.frozenAt < frozenNanos {
		return
	}
	c.warned = true
	c.log.Warn("the ring is left as it is", "because", *why)
}

func (c *chair) step(ev replication.Event) {
	for _, a := range c.core.Step(BootNanos(), ev) {
		switch a := a.(type) {
		case replication.Swap:
			c.readdressed = BootNanos() // one change at a time
			c.swap(a.Record)
		case replication.Frozen:
			c.frozen.Store(&a.Why)
			c.frozenAt, c.warned = BootNanos(), false
		}
	}
}

// readdress follows members that have come back at another address: where they are
// changes nothing about who leads what. Zone and weight do, and wait until the member
// has left and joined again.
func (c *chair) readdress() {
	c.mu.Lock()
	record, registered := c.record, c.registered
	c.mu.Unlock()
	if !c.acts.Load() || record.Ring == nil || record.Revision == 0 || !c.closed(&record) {
		return
	}
	spec := record.Ring.Spec()
	changed := false
	for i := range spec.Members {
		m := &spec.Members[i]
		at := slices.IndexFunc(registered, func(r ring.Member) bool { return r.ID == m.ID })
		if at < 0 {
			continue
		}
		r := &registered[at]
		if m.Addr == r.Addr && m.Control == r.Control && m.Gossip == r.Gossip && m.Shards == r.Shards && m.Name == r.Name {
			continue
		}
		m.Addr, m.Control, m.Gossip, m.Shards, m.Name = r.Addr, r.Control, r.Gossip, r.Shards, r.Name
		changed = true
	}
	if !changed {
		return
	}
	spec.Epoch++
	next, err := ring.Build(spec)
	if err != nil {
		c.log.Error("a member's new address makes no ring", "error", err)
		return
	}
	c.swap(replication.NewRecord(next, record.Revision, record.Voters()))
}

// closed is the controller's rule that an epoch begins only when the one before the
// last is closed.
func (c *chair) closed(rec *replication.Record) bool {
	know := 0
	for _, id := range rec.PrevVoters {
		if c.epochs[id] >= rec.Epoch() {
			know++
		}
	}
	n := len(rec.PrevVoters)
	return n == 0 || know >= n-n/2
}
