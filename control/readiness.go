package control

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"gannet/board"
)

// Readiness is the answer to "may clients be sent here?".
type Readiness struct {
	Ready  bool     `json:"ready"`
	How    string   `json:"how"` // what was asked
	Reason string   `json:"reason,omitempty"`
	Shards []string `json:"shards,omitempty"` // one verdict a shard
}

// facts are what the board says about the data plane at a moment.
type facts struct {
	attached  bool
	target    Target
	phase     board.Phase
	info      board.NodeInfo
	beats     []int64
	turns     []uint64
	epoch     uint32
	fence     int64
	generated uint64 // board.Ring generation
	starts    uint64
}

func (l *Link) facts() (f facts) {
	l.With(func(b *board.Board) {
		f.attached = true
		node := b.Node()
		f.target.PID, f.target.StartTicks = node.PID()
		f.phase, f.starts = node.Phase(), node.Starts()
		f.info, _ = node.Info()
		for shard := range b.Shards() {
			beat := b.Heartbeat(shard)
			f.beats, f.turns = append(f.beats, beat.Nanos()), append(f.turns, beat.Turns())
		}
		f.epoch, f.fence, f.generated = b.Ring().Epoch(), b.Fence().Nanos(), b.Ring().Generation()
	})
	return f
}

// onXDP tells whether shards stand on a rung of AF_XDP.
func (f *facts) onXDP() bool {
	return len(f.info.Shards) > 0 && strings.HasPrefix(f.info.Shards[0].Rung, "xdp")
}

// Readiness sends a GET to every shard through the data path. On an XDP rung of a
// real interface packets of this machine do not pass the interface; there, every
// shard must have beaten within its time instead. A node is not ready before it has
// been able to take a write, either.
func (c *Control) Readiness(ctx context.Context) Readiness {
	f, now := c.link.facts(), BootNanos()
	r := Readiness{How: "a GET to every shard through the data path"}
	switch {
	case !f.attached:
		r.Reason = "no data plane has made a board yet"
	case f.phase != board.PhaseServing:
		r.Reason = "the data plane is " + f.phase.String()
	case f.epoch == 0:
		r.Reason = "no ring is published yet: etcd does not answer"
	case c.notServing() != "":
		r.Reason = c.notServing()
	case f.onXDP() && f.info.Shards[0].Interface != "lo":
		r.How = "heartbeats (packets of this machine do not pass the interface)"
		c.readyByBeats(&f, &r)
	default:
		c.readyByGets(ctx, &f, &r)
	}
	if r.Ready {
		r.Reason = c.opening.closed(now, f.fence, c.cluster.driver.Stats().Held)
		r.Ready = r.Reason == ""
	}
	return r
}

// notServing says why clients may not be sent to this node yet, though it answers: it
// has no part of the ring, or not again.
func (c *Control) notServing() string {
	state, there := c.cluster.standing()
	switch {
	case !there:
		return "this node is not in the ring yet"
	case !state.Serves():
		return "this node is " + state.String() + ": it receives its items"
	}
	return ""
}

func (c *Control) readyByBeats(f *facts, r *Readiness) {
	now, limit := BootNanos(), c.cfg.Watchdog.Nanoseconds()
	r.Ready = true
	for shard, beat := range f.beats {
		verdict := "ok"
		if now-beat > limit {
			r.Ready, verdict = false, fmt.Sprintf("silent for %d ms", (now-beat)/1e6)
			r.Reason = fmt.Sprintf("shard %d is %s", shard, verdict)
		}
		r.Shards = append(r.Shards, verdict)
	}
}

func (c *Control) readyByGets(ctx context.Context, f *facts, r *Readiness) {
	r.Ready = true
	for shard := range f.beats {
		port := netip.AddrPortFrom(reachable(c.cfg.Listen), c.cfg.DataPort+uint16(shard))
		verdict := "ok"
		if err := c.prober.Probe(ctx, port, shard, len(f.beats)); err != nil {
			r.Ready, r.Reason, verdict = false, err.Error(), err.Error()
		}
		r.Shards = append(r.Shards, verdict)
	}
	if len(f.beats) == 0 {
		r.Ready, r.Reason = false, "the board has no shards"
	}
}

// reachable is an address under which a listener on addr answers this machine.
func reachable(addr netip.Addr) netip.Addr {
	switch {
	case addr == netip.IPv4Unspecified():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case addr == netip.IPv6Unspecified():
		return netip.IPv6Loopback()
	default:
		return addr
	}
}
