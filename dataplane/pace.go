package dataplane

import (
	"gannet/board"
	"gannet/dataplane/port"
)

// wheel keeps replies until their departure time: slots of 16 µs, a turn of 64 ms.
// What departs later goes round again.
type wheel struct {
	slots   [wheelSlots]int32 // first entry of a slot + 1; 0 = empty
	entries []held
	free    int32 // first free entry + 1
	size    int
	reached int64 // tick up to which everything has departed
}

type held struct {
	tx   port.Tx
	next int32
}

const (
	wheelSlots     = 4096
	wheelTickNanos = 1 << 14
	maxGrantNanos  = int64(1e9)   // a grant further ahead is cut
	maxGapNanos    = int64(100e6) // and so is a slower one: a reply must not hold its item for minutes
)

func (w *wheel) init(frames int) {
	w.entries = make([]held, frames)
	for i := range w.entries {
		w.entries[i].next = int32(i) // the entry before, + 1
	}
	w.free = int32(frames)
}

// hold keeps a reply until tx.DepartureNanos. False when the wheel is full.
func (w *wheel) hold(tx port.Tx, nowNanos int64) bool {
	if w.free == 0 {
		return false
	}
	if w.size == 0 {
		w.reached = nowNanos / wheelTickNanos
	}
	at := w.free - 1
	w.free = w.entries[at].next
	tick := max((tx.DepartureNanos+wheelTickNanos-1)/wheelTickNanos, w.reached+1)
	slot := &w.slots[tick%wheelSlots]
	w.entries[at] = held{tx: tx, next: *slot}
	*slot = at + 1
	w.size++
	return true
}

// due calls leave for every reply whose time has come, oldest slot first, and
// returns how many there were.
func (w *wheel) due(nowNanos int64, leave func(port.Tx)) (left int) {
	now := nowNanos / wheelTickNanos
	from := max(w.reached+1, now-wheelSlots+1)
	for tick := from; tick <= now && w.size > 0; tick++ {
		left += w.empty(&w.slots[tick%wheelSlots], nowNanos, leave)
	}
	w.reached = max(w.reached, now)
	return left
}

func (w *wheel) empty(slot *int32, nowNanos int64, leave func(port.Tx)) (left int) {
	at := *slot
	*slot = 0
	for at != 0 {
		e := &w.entries[at-1]
		next := e.next
		if e.tx.DepartureNanos > nowNanos { // a later round's
			e.next, *slot = *slot, at
		} else {
			tx := e.tx
			e.tx, e.next = port.Tx{}, w.free
			w.free = at
			w.size--
			left++
			tx.DepartureNanos = 0
			leave(tx)
		}
		at = next
	}
	return left
}

// waitNanos returns how long nothing on the wheel departs.
func (w *wheel) waitNanos(nowNanos, longest int64) int64 {
	if w.size == 0 {
		return longest
	}
	for tick := w.reached + 1; ; tick++ {
		wait := tick*wheelTickNanos - nowNanos
		if wait >= longest || w.slots[tick%wheelSlots] != 0 {
			return max(0, min(wait, longest))
		}
	}
}

// depart sends a datagram at its time, and moves the time on by what it takes at
// the granted rate.
func (l *Loop) depart(tx port.Tx, departNanos *int64, kbit uint32) {
	if kbit == 0 {
		l.tx = append(l.tx, tx)
		return
	}
	at := min(max(*departNanos, l.nowNanos), l.nowNanos+maxGrantNanos)
	*departNanos = at + min(int64(tx.Bytes+len(tx.Tail))*8_000_000/int64(kbit), maxGapNanos)
	if at <= l.nowNanos {
		l.tx = append(l.tx, tx)
		return
	}
	l.counts.n[board.CountPaced]++
	tx.DepartureNanos = at
	if l.caps.Departure {
		l.tx = append(l.tx, tx)
		return
	}
	if !l.wheel.hold(tx, l.nowNanos) {
		l.counts.reason[ReasonWheelFull]++
		tx.DepartureNanos = 0
		l.tx = append(l.tx, tx)
	}
}

// departDue puts the replies whose time has come on the list.
func (l *Loop) departDue() int {
	if l.wheel.size == 0 {
		return 0
	}
	return l.wheel.due(l.nowNanos, l.leaveFrame)
}

func (l *Loop) leave(tx port.Tx) { l.tx = append(l.tx, tx) }
