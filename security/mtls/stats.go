package mtls

import (
	"sync/atomic"
	"time"
)

// counters are the store's, written by whoever it happens to.
type counters struct {
	reloadsTaken, reloadsRefused atomic.Uint64
	refused, closed              [reasonCount]atomic.Uint64
	refusedLogged                [reasonCount]atomic.Int64 // when, in nanoseconds
}

// Stats are a store's counters and gauges, for metrics.
type Stats struct {
	ReloadsTaken, ReloadsRefused uint64
	// Refused and Closed count peers that were not let in, and those that were cut
	// off later, by reason.
	Refused, Closed map[Reason]uint64
	Open            int
	NotAfter        time.Time // of this side's certificate
	Revoked         int       // entries of the revocation lists
}

// Stats reads the counters.
func (s *Store) Stats() Stats {
	m := s.current.Load()
	st := Stats{
		ReloadsTaken: s.counts.reloadsTaken.Load(), ReloadsRefused: s.counts.reloadsRefused.Load(),
		Refused: map[Reason]uint64{}, Closed: map[Reason]uint64{},
		Open: s.open.size(), NotAfter: m.certificate.Leaf.NotAfter, Revoked: len(m.revoked),
	}
	for r := range reasonCount {
		st.Refused[r], st.Closed[r] = s.counts.refused[r].Load(), s.counts.closed[r].Load()
	}
	return st
}
