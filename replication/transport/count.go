package transport

import (
	"sync"
	"sync/atomic"

	"gannet/ring"
)

// counters are read by metrics.
type counters struct {
	badMessages atomic.Uint64
	sentBytes   atomic.Uint64
	sentParts   atomic.Uint64
	replicating atomic.Bool
	sync        atomic.Int64
	held        atomic.Uint64 // parts of the circle, in millionths
	degraded    atomic.Uint64
	lacking     atomic.Uint64
}

// Stats are a driver's counters and gauges.
type Stats struct {
	BadMessages uint64 // datagrams that are no message
	SentBytes   uint64 // mutations and parts of repairs
	SentParts   uint64 // parts of repairs
	Links       int    // connections to other nodes
	Replicating bool   // the ring has others
	// Held and Degraded are the parts of the circle that this node leads and may not
	// write yet, and that no follower has.
	Held, Degraded float64
	// Lacking is the part that this node follows and has not whole: its readers are sent
	// to the leaders.
	Lacking float64
	// SyncNanos is the moment up to which acknowledgements are good as things stand.
	SyncNanos int64
}

// Stats reads the counters.
func (d *Driver) Stats() Stats {
	c := &d.counts
	links := 0
	if d.started.Load() {
		links = d.mesh.count()
	}
	return Stats{
		BadMessages: c.badMessages.Load(), SentBytes: c.sentBytes.Load(), SentParts: c.sentParts.Load(),
		Links: links, Replicating: c.replicating.Load(), SyncNanos: c.sync.Load(),
		Held: float64(c.held.Load()) / 1e6, Degraded: float64(c.degraded.Load()) / 1e6, Lacking: float64(c.lacking.Load()) / 1e6,
	}
}

func shareOf(ranges []ring.Range) uint64 {
	sum := 0.0
	for _, r := range ranges {
		sum += r.Share()
	}
	return uint64(sum * 1e6)
}

// lastHeard says when each node gave its last sign of life, over whichever wire.
type lastHeard struct {
	mu sync.Mutex
	at map[uint64]int64
}

func (l *lastHeard) note(node uint64, nowNanos int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at == nil {
		l.at = map[uint64]int64{}
	}
	l.at[node] = nowNanos
}

// Reaches says whether there is a link to a node that has given a sign of life since a
// moment. It may be called from any goroutine.
func (d *Driver) Reaches(node uint64, sinceNanos int64) bool {
	d.heard.mu.Lock()
	at := d.heard.at[node]
	d.heard.mu.Unlock()
	return at >= sinceNanos && d.started.Load() && d.mesh.linked(node)
}
