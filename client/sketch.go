package client

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	sketchRows = 4
	// sketchWidth is a power of two: 4 rows of it are 256 KB.
	sketchWidth = 1 << 14
	// sketchHalfNanos is after how long all that was counted counts half.
	sketchHalfNanos = int64(time.Second)
)

// sketch estimates how often keys were asked for lately: a count-min sketch with
// conservative update (Estan and Varghese, "New Directions in Traffic Measurement and
// Accounting", 2002), whose counts are halved every second. It never estimates too
// low between two halvings; too high by about total / sketchWidth.
//
// It is for many goroutines. Additions that collide may be lost in part, which a
// sketch can bear; a halving may run beside additions.
type sketch struct {
	total     atomic.Uint64
	halfNanos atomic.Int64 // of the next halving
	cells     [sketchRows][sketchWidth]atomic.Uint32
}

// cell is where a row counts a hash: the rows use different bits, spread by odd
// multipliers.
func (s *sketch) cell(row int, hash uint64) *atomic.Uint32 {
	hash = (hash + uint64(row)) * (0x9E3779B97F4A7C15 + uint64(row)<<33)
	return &s.cells[row][(hash>>32^hash>>50)%sketchWidth]
}

// add counts a use and returns the estimate with it.
func (s *sketch) add(hash uint64, nowNanos int64) uint32 {
	s.decay(nowNanos)
	s.total.Add(1)
	next := s.estimate(hash) + 1
	for row := range s.cells {
		c := s.cell(row, hash)
		if now := c.Load(); now < next {
			c.CompareAndSwap(now, next)
		}
	}
	return next
}

// estimate is how often a key was used lately.
func (s *sketch) estimate(hash uint64) uint32 {
	least := uint32(math.MaxUint32)
	for row := range s.cells {
		least = min(least, s.cell(row, hash).Load())
	}
	return least
}

// noise is what the estimate of a key that was never used may come to.
func (s *sketch) noise() uint32 { return uint32(s.total.Load() / sketchWidth) }

// decay halves all counts, once for each second that has passed.
func (s *sketch) decay(nowNanos int64) {
	due := s.halfNanos.Load()
	if nowNanos < due || !s.halfNanos.CompareAndSwap(due, nowNanos+sketchHalfNanos) {
		return
	}
	by := uint(1)
	if due != 0 {
		by += uint(min((nowNanos-due)/sketchHalfNanos, 31))
	}
	s.total.Store(s.total.Load() >> by)
	for row := range s.cells {
		for i := range s.cells[row] {
			if c := &s.cells[row][i]; c.Load() != 0 {
				c.Store(c.Load() >> by)
			}
		}
	}
}
