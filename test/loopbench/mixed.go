package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"slices"

	"gannet/test/rows"
	"gannet/wire"
)

const (
	mixedGoalMicros = 20
	mixedShortBytes = 64
	mixedLongBytes  = 100 << 10
	mixedLongItems  = 256
	mixedLongEvery  = 100
	mixedShare      = 0.2 // of the saturated rate of the mix
	mixedRoundNanos = int64(200e6)
)

// benchMixed: what 1 % of long GETs adds to the p99 of short ones, at the same rate
// of requests, of which the long ones' server time is the larger part.
func benchMixed(t *rows.Table, s sizes) error {
	n, err := newNode(nodeOptions{
		items: s.items / 2, valueBytes: mixedShortBytes, longItems: mixedLongItems, longBytes: mixedLongBytes, tailBytes: -1, seed: 4,
	})
	if err != nil {
		return err
	}
	defer n.close()
	runtime.LockOSThread() // whose CPU time is the clock
	defer runtime.UnlockOSThread()
	short, mix := newOpenLoop(n, 0), newOpenLoop(n, mixedLongEvery)
	rate := mixedShare * mix.saturate(2*mixedRoundNanos)
	short.round(rate, mixedRoundNanos) // warm
	var added, without, with []float64
	answers := int64(0)
	for range s.rounds {
		quiet(func() {
			a, b := short.round(rate, mixedRoundNanos), mix.round(rate, mixedRoundNanos)
			without, with, added = append(without, a), append(with, b), append(added, b-a)
		})
	}
	for _, o := range []*openLoop{short, mix} {
		if err := o.verdict(); err != nil {
			return err
		}
		answers += int64(o.shorts)
	}
	sum := summarize(added)
	note := fmt.Sprintf("p99 %.1f µs with, %.1f µs without, %.0f k requests/s, 20 %% of the mix's highest rate, ±%.1f µs; clock: the thread's CPU time", medianOf(with), medianOf(without), rate/1e3, deviation(added))
	t.Add(row("mixed", sum, answers, "µs", note).AtMost(mixedGoalMicros))
	return nil
}

// deviation is the median absolute deviation.
func deviation(values []float64) float64 {
	m := medianOf(values)
	away := make([]float64, len(values))
	for i, v := range values {
		away[i] = math.Abs(v - m)
	}
	return medianOf(away)
}

// openLoop sends at times drawn beforehand, whatever the answers do, and measures
// from the time at which a request should have been sent. Its clock is the CPU time
// of its thread: what another process takes of the CPU is no delay of the loop's,
// but at a p99 of microseconds it would be all that is seen.
type openLoop struct {
	n         *node
	q         *requests
	check     checker
	due       []int64 // by request id: when it should have been sent
	nanos     []float64
	now       int64 // when the replies of this turn were there
	shorts    int
	longs     int
	longAsked int
	longBytes int64
	pending   int // requests without a whole answer
}

func newOpenLoop(n *node, longEvery int) *openLoop {
	q := n.prepare(longEvery, mixedLongItems)
	return &openLoop{
		n: n, q: q, due: make([]int64, drawn), nanos: make([]float64, 0, 1<<20),
		check: checker{q: q, valueBytes: mixedShortBytes},
	}
}

func (o *openLoop) send(due int64) bool {
	id := o.q.at % drawn
	if !o.n.port.offer(o.q.datagrams[id]) {
		return false // no frame: it waits, and its time counts
	}
	o.q.at++
	o.due[id] = due
	o.pending++
	if o.q.numbers[id] >= longFrom {
		o.longAsked++
	}
	return true
}

func (o *openLoop) turn() {
	now := bootNanos()
	o.n.port.now = now
	o.n.loop.Turn(now)
	o.now = cpuNanos()
	o.n.port.collect(o.see)
}

// see takes one datagram of an answer.
func (o *openLoop) see(head, tail []byte) {
	id := binary.LittleEndian.Uint64(head[wire.OffsetRequestID:])
	if o.q.numbers[id] < longFrom {
		o.check.see(head, tail)
		o.nanos = append(o.nanos, float64(o.now-o.due[id]))
		o.shorts++
		o.pending--
		return
	}
	op := head[wire.ReplyHeaderBytes:]
	o.longBytes += int64(binary.LittleEndian.Uint32(op[wire.ReplyOpOffsetValueBytes:]))
	if wire.ReplyFlags(binary.LittleEndian.Uint16(op[wire.ReplyOpOffsetFlags:]))&wire.ReplyMore == 0 {
		o.longs++
		o.pending--
	}
}

// saturate keeps 64 requests under way and returns the requests a second.
func (o *openLoop) saturate(nanos int64) float64 {
	begun, from := cpuNanos(), o.q.at
	for cpuNanos()-begun < nanos {
		for o.pending < batch && o.send(cpuNanos()) {
		}
		o.turn()
	}
	rate := float64(o.q.at-from) / (float64(cpuNanos()-begun) / 1e9)
	o.drain()
	return rate
}

func (o *openLoop) drain() {
	for turns := 0; o.pending > 0 && turns < 1<<20; turns++ {
		o.turn()
	}
}

// round sends at a rate for a time and returns the p99 of the short ones in µs.
func (o *openLoop) round(rate float64, nanos int64) float64 {
	o.nanos = o.nanos[:0]
	begun := cpuNanos()
	for due := begun; due < begun+nanos; {
		for due <= cpuNanos() && o.send(due) {
			due += o.gap(rate)
		}
		o.turn()
	}
	o.drain()
	slices.Sort(o.nanos)
	return o.nanos[len(o.nanos)*99/100] / 1e3
}

// gap draws the time to the next arrival of a Poisson process.
func (o *openLoop) gap(rate float64) int64 {
	u := float64(o.n.random(1<<30)+1) / (1 << 30)
	return int64(-math.Log(u) / rate * 1e9)
}

func (o *openLoop) verdict() error {
	switch {
	case o.check.wrong != nil:
		return o.check.wrong
	case o.pending != 0:
		return fmt.Errorf("%d requests have no answer", o.pending)
	case o.longs != o.longAsked || o.longBytes != int64(o.longs)*mixedLongBytes:
		return fmt.Errorf("%d long answers of %d bytes to %d requests", o.longs, o.longBytes, o.longAsked)
	}
	return nil
}
