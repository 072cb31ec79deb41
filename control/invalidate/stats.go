package invalidate

import "sync/atomic"

type counters struct {
	announced, unwanted, batchesSent                                   atomic.Uint64
	heard, duplicates, malformed, fromThePast, tooManyOrigins, refused atomic.Uint64
	flushes                                                            [flushReasons]atomic.Uint64
}

// Stats are counters and gauges, for metrics.
type Stats struct {
	Announced   uint64 // events of this node
	Unwanted    uint64 // writes of keys that no L1 may hold, while nobody wants to hear of all
	BatchesSent uint64 // with heartbeats
	Heard       uint64 // events of other nodes
	Duplicates  uint64 // events heard again
	// Batches not taken: not understood, of an earlier start of their origin, or of
	// more origins than there is room for.
	Malformed, FromThePast, TooManyOrigins uint64
	Refused                                uint64 // subscriptions beyond the limit
	Flushes                                map[Reason]uint64
	Subscribers, Origins                   int
}

// Stats reads the counters.
func (h *Hub) Stats() Stats {
	c := &h.counts
	st := Stats{
		Announced: c.announced.Load(), Unwanted: c.unwanted.Load(), BatchesSent: c.batchesSent.Load(),
		Heard: c.heard.Load(), Duplicates: c.duplicates.Load(), Malformed: c.malformed.Load(),
		FromThePast: c.fromThePast.Load(), TooManyOrigins: c.tooManyOrigins.Load(), Refused: c.refused.Load(),
		Flushes: map[Reason]uint64{},
	}
	for r := range flushReasons {
		st.Flushes[r] = c.flushes[r].Load()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	st.Subscribers, st.Origins = len(h.subscribed), len(h.tracker.origins)
	return st
}
