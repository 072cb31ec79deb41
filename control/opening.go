package control

import "sync"

// opening is the wait for the moment at which this node takes writes for the first
// time: for its fence, and for the ranges that it may not write yet. It comes some
// milliseconds after the first GET is answered, and clients that were sent here at once
// would be refused. A fence that lapses later is no reason to send readers away.
type opening struct {
	mu    sync.Mutex
	since int64 // when it was first asked for; 0: not yet
	done  bool
}

// openingLongest bounds the wait: a node that gets no grant serves reads.
const openingLongest = int64(5e9)

// closed says why writes would be refused, as long as that is worth waiting for.
func (o *opening) closed(nowNanos, fenceNanos int64, held float64) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since == 0 {
		o.since = nowNanos
	}
	switch {
	case o.done || nowNanos-o.since > openingLongest || fenceNanos > nowNanos && held == 0:
		o.done = true
		return ""
	case fenceNanos <= nowNanos:
		return "its fence is not open yet: writes would be refused"
	default:
		return "it may not write yet what another node led before"
	}
}
