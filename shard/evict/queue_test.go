package evict

import "testing"

// TestHeadOvertakesTheSweep pops the block at which a sweep stands and sweeps on:
// the sweep must begin anew and not follow a block that is free by now.
func TestHeadOvertakesTheSweep(t *testing.T) {
	const entries = 20 * blockEntries
	q := newQueue(NewPool(nil))
	for h := uint32(1); h <= entries; h++ {
		q.push(h)
	}
	gone := map[uint32]bool{}
	removeFrom := func(h uint32, n int) {
		for range n {
			q.remove(h)
			gone[h] = true
			h += 2
		}
	}
	removeFrom(10*blockEntries, 4*blockEntries)
	for q.sweep.prev == noBlock {
		q.sweepBlock()
	}
	for q.sweep.prev != noBlock {
		gone[q.pop()] = true
	}
	blocks := q.blockCount
	for range 3 * blocks {
		q.sweepBlock()
	}
	want := entries - len(gone)
	if q.len() != want {
		t.Fatalf("%d items, want %d", q.len(), want)
	}
	for range want {
		h := q.pop()
		if h == None || gone[h] {
			t.Fatalf("popped %d: gone before", h)
		}
		gone[h] = true
	}
	if h := q.pop(); h != None {
		t.Fatalf("popped %d from an empty queue", h)
	}
	if q.release(); q.pool.UsedBytes() != 0 {
		t.Fatalf("%d bytes still used", q.pool.UsedBytes())
	}
}
