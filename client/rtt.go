package client

import (
	"sync/atomic"
	"time"
)

// initialRTO is the wait before the first round trip was measured.
const initialRTO = 20 * time.Millisecond

// estimator turns measured round trips into retransmission timeouts, after the
// method of RFC 6298 in nanoseconds instead of clock ticks. One node has one,
// shared by all callers: the two words are updated separately, and a reader
// that sees one old and one new is off by one sample, which does no harm.
type estimator struct {
	min, max  time.Duration
	smoothed  atomic.Int64 // nanoseconds, 0 before the first sample
	deviation atomic.Int64 // nanoseconds
}

// observe takes in one round trip. Callers pass only those of requests sent
// once: the answer to a repeated one cannot be told apart (Karn's rule).
func (e *estimator) observe(rtt time.Duration) {
	sample := max(int64(rtt), 1)
	smoothed := e.smoothed.Load()
	if smoothed == 0 {
		e.smoothed.Store(sample)
		e.deviation.Store(sample / 2)
		return
	}
	deviation := e.deviation.Load()
	e.deviation.Store(deviation + (abs(smoothed-sample)-deviation)/4)
	e.smoothed.Store(max(smoothed+(sample-smoothed)/8, 1))
}

// timeout is the wait for the answer after the given number of silences.
func (e *estimator) timeout(silences int) time.Duration {
	base := initialRTO
	if smoothed := e.smoothed.Load(); smoothed != 0 {
		base = time.Duration(smoothed + 4*e.deviation.Load())
	}
	base = min(max(base, e.min), e.max)
	for range min(silences, 16) {
		if base *= 2; base >= e.max {
			return e.max
		}
	}
	return base
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}
