package main

import (
	"fmt"
	"runtime"
	"slices"

	"gannet/test/rows"
)

const (
	loopGoalNanos  = 150
	loopValueBytes = 100
	batch          = 64
	roundTurns     = 2000
	// interruptedNanos is the length from which a turn was not the loop's alone:
	// another process had the CPU meanwhile. A batch takes some 10 µs.
	interruptedNanos = int64(1e6)
)

// saturated drives a node with full batches and times the turns alone.
type saturated struct {
	n     *node
	check checker
	queue *requests
}

func newSaturated(n *node, valueBytes int) *saturated {
	q := n.prepare(0, 0)
	return &saturated{n: n, queue: q, check: checker{q: q, valueBytes: valueBytes}}
}

// round runs so many turns and returns the nanoseconds a GET took.
func (d *saturated) round(turns int) float64 {
	inTurns, timed := int64(0), 0
	for range turns {
		for range batch {
			d.n.port.offer(d.queue.next())
		}
		now := bootNanos()
		d.n.port.now = now
		begun := monotonic()
		d.n.loop.Turn(now)
		if took := monotonic() - begun; took < interruptedNanos {
			inTurns += took
			timed++
		}
		d.n.port.collect(d.check.see)
	}
	return float64(inTurns) / float64(max(1, timed)*batch)
}

// verdict says whether all requests were answered rightly.
func (d *saturated) verdict() error {
	switch {
	case d.check.wrong != nil:
		return d.check.wrong
	case d.check.seen != d.queue.at:
		return fmt.Errorf("%d requests, %d replies", d.queue.at, d.check.seen)
	}
	return nil
}

// benchLoop: the whole loop, one GET of 100 B a datagram, 64 in a batch.
func benchLoop(t *rows.Table, s sizes) error {
	n, err := newNode(nodeOptions{items: s.items, valueBytes: loopValueBytes, seed: 1})
	if err != nil {
		return err
	}
	defer n.close()
	d := newSaturated(n, loopValueBytes)
	d.round(roundTurns)
	var nanos []float64
	allocations := mallocs()
	for range s.rounds {
		quiet(func() { nanos = append(nanos, d.round(roundTurns)) })
	}
	allocations = mallocs() - allocations - uint64(len(nanos))
	if err := d.verdict(); err != nil {
		return err
	}
	sum := summarize(nanos)
	gets := int64(len(nanos) * roundTurns * batch)
	note := fmt.Sprintf("1 GET of %d B a datagram, %d a batch, %d items in %d MB, fastest round %.0f; all replies checked",
		loopValueBytes, batch, n.items, n.setBytes()>>20, slices.Min(nanos))
	t.Add(row("loop", sum, gets, "ns/GET", note).AtMost(loopGoalNanos))
	perGet := float64(allocations) / float64(gets)
	if perGet < 1e-3 {
		perGet = 0 // what the measuring itself allocates between rounds
	}
	t.Add(rows.Row{ID: "loop", Value: perGet, N: gets, Unit: "allocations/GET", Note: "the same rounds", Rounds: sum.rounds}.AtMost(0))
	return nil
}

func row(id string, s summary, n int64, unit, note string) rows.Row {
	return rows.Row{ID: id, Value: s.median, N: n, Unit: unit, Note: note, Rounds: s.rounds, Spread: s.spread}
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// setBytes is the memory that GETs reach into.
func (n *node) setBytes() int64 {
	s := n.store.Stats()
	return s.SlotBytes + s.IndexBytes
}
