package dataplane

import (
	"fmt"
	"sync/atomic"

	"gannet/board"
	"gannet/ring"
)

// Rings follows the ring that the control process publishes. Decoding one takes
// time and memory, so it is done here, off the shards' threads. The shards look at
// the board's generation in every turn anyway: they tell Follow when to look, so
// that an idle node has no further timer.
type Rings struct {
	current atomic.Pointer[published] // writer: Look's goroutine
	looked  atomic.Uint64             // generation that Look has seen; the same writer
	changed chan struct{}             // a shard saw another generation
	area    *board.Ring
	problem func(error)
}

// published is a ring and its encoding, which RING hands on.
type published struct {
	ring    *ring.Ring
	encoded []byte
}

// NewRings reads the ring that stands on the board, if there is one. problem is
// told about rings that cannot be read; the last good one stays.
func NewRings(b *board.Board, problem func(error)) *Rings {
	r := &Rings{area: b.Ring(), problem: problem, changed: make(chan struct{}, 1)}
	r.Look()
	return r
}

// Current returns the ring, nil before the first one.
func (r *Rings) Current() *ring.Ring {
	if p := r.current.Load(); p != nil {
		return p.ring
	}
	return nil
}

// Look takes a newly published ring over.
func (r *Rings) Look() {
	generation := r.area.Generation()
	if generation == r.looked.Load() {
		return
	}
	data, epoch, ok := r.area.Read(nil)
	if !ok {
		return // being written: the next turn of a shard asks again
	}
	r.looked.Store(generation)
	next, err := ring.Decode(data)
	if err != nil {
		r.problem(fmt.Errorf("ring of epoch %d on the board: %w", epoch, err))
		return
	}
	if now := r.current.Load(); now == nil || next.Epoch() >= now.ring.Epoch() {
		r.current.Store(&published{next, data})
	}
}

// Follow looks whenever a shard noticed a change, until done is closed.
func (r *Rings) Follow(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-r.changed:
			r.Look()
		}
	}
}

// watch is called by shards in every turn: it wakes Follow when there is something
// new.
func (r *Rings) watch() {
	if r.area.Generation() == r.looked.Load() {
		return
	}
	select {
	case r.changed <- struct{}{}:
	default: // it knows
	}
}

// adoptRing takes the newest ring for this turn.
func (l *Loop) adoptRing() {
	if l.cfg.Rings == nil {
		return
	}
	l.cfg.Rings.watch()
	next := l.cfg.Rings.Current()
	if next == nil || next == l.ring {
		return
	}
	l.ring = next
	l.epoch = next.Epoch()
	l.store.SetEpoch(l.epoch)
	l.neighbor.node.SetEpoch(l.epoch)
	l.neighbor.heartbeat.SetEpoch(l.epoch) // what comes from here on has it
}
