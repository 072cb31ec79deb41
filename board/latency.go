package board

import (
	"math/bits"
	"sync/atomic"
)

// Latency histograms: for each shard and opcode, log-linear buckets of the time
// from arrival to reply. Eight buckets a power of two: 12.5 % wide at most.
const (
	LatencyOps      = 16 // by opcode of the wire
	latencyMinShift = 7  // below 128 ns: bucket 0
	latencySub      = 8
	latencyPowers   = 28 // up to 34 s; beyond: the last bucket
	LatencyBuckets  = 1 + latencySub*latencyPowers

	latencyOpWords = 256 // buckets, then the sum of nanoseconds
	latencySum     = 255
	latencyBytes   = LatencyOps * latencyOpWords * 8
)

// LatencyBucket returns the bucket of a duration.
func LatencyBucket(nanos int64) int {
	if nanos < 1<<latencyMinShift {
		return 0
	}
	power := 63 - bits.LeadingZeros64(uint64(nanos))
	sub := int(uint64(nanos)>>(power-3)) & (latencySub - 1)
	return min(1+(power-latencyMinShift)*latencySub+sub, LatencyBuckets-1)
}

// LatencyUpperNanos returns the least duration that lies above a bucket.
func LatencyUpperNanos(bucket int) int64 {
	if bucket <= 0 {
		return 1 << latencyMinShift
	}
	power := latencyMinShift + (bucket-1)/latencySub
	sub := int64((bucket - 1) % latencySub)
	return (latencySub + sub + 1) << (power - 3)
}

// Latency is the histogram of one shard and operation. Writer: that shard.
type Latency struct{ words []atomic.Uint64 }

// Latency returns a shard's histogram of an opcode.
func (b *Board) Latency(shard, opcode int) *Latency {
	at := (opcode & (LatencyOps - 1)) * latencyOpWords
	return &Latency{b.words(AreaLatency, shard)[at : at+latencyOpWords]}
}

// Write publishes the writer's own histogram. Counts and sum only grow.
func (l *Latency) Write(counts *[LatencyBuckets]uint64, sumNanos uint64) {
	for i, n := range counts {
		l.words[i].Store(n)
	}
	l.words[latencySum].Store(sumNanos)
}

// Read copies the buckets into counts and returns the sum of all durations.
func (l *Latency) Read(counts *[LatencyBuckets]uint64) (sumNanos uint64) {
	for i := range counts {
		counts[i] = l.words[i].Load()
	}
	return l.words[latencySum].Load()
}
