package dataplane

import (
	"golang.org/x/sys/unix"

	"gannet/board"
	"gannet/dataplane/port"
)

// wheel keeps replies until their departure time: slots of 4 µs, a turn of 67 ms.
// What departs later goes round again. The slot that the present lies in is looked
// through at every turn of the loop, so that nothing leaves before its time, and
// what leaves late is late by a turn of the loop, not by a slot.
type wheel struct {
	slots   [wheelSlots]int32 // first entry of a slot + 1; 0 = empty
	entries []held
	free    int32 // first free entry + 1
	size    int
	reached int64 // tick before which everything has departed
}

type held struct {
	tx   port.Tx
	next int32
}

const (
	wheelSlots     = 1 << 14
	wheelTickNanos = 1 << 12
	maxGrantNanos  = int64(1e9)   // a grant further ahead is cut
	maxGapNanos    = int64(100e6) // and so is a slower one: a reply must not hold its item for minutes

	catchUpBytes    = 16 << 10
	maxCatchUpNanos = int64(500e3)
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
	tick := max(tx.DepartureNanos/wheelTickNanos, w.reached)
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
	from := max(w.reached, now-wheelSlots+1)
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
	for tick := w.reached; tick*wheelTickNanos-nowNanos < longest && tick < w.reached+wheelSlots; tick++ {
		if at, ok := w.earliest(tick); ok {
			return max(0, min(at-nowNanos, longest))
		}
	}
	return longest
}

// earliest is the first departure in a slot, of those that do not go round again.
func (w *wheel) earliest(tick int64) (atNanos int64, ok bool) {
	atNanos = (tick + 1) * wheelTickNanos
	for at := w.slots[tick%wheelSlots]; at != 0; at = w.entries[at-1].next {
		if e := &w.entries[at-1]; e.tx.DepartureNanos < atNanos {
			atNanos, ok = e.tx.DepartureNanos, true
		}
	}
	return atNanos, ok
}

// depart sends a datagram at its time, and moves the time on by what it takes at
// the granted rate.
func (l *Loop) depart(tx port.Tx, departNanos *int64, kbit uint32) {
	if kbit == 0 {
		l.tx = append(l.tx, tx)
		return
	}
	at := min(*departNanos, l.nowNanos+maxGrantNanos)
	*departNanos = max(at, l.nowNanos-catchUpNanos(kbit)) + gapNanos(tx.Bytes+len(tx.Tail), kbit)
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

// gapNanos is what a datagram takes at a rate.
func gapNanos(bytes int, kbit uint32) int64 {
	return min(int64(bytes)*8_000_000/int64(kbit), maxGapNanos)
}

// catchUpNanos is how far behind its grant a reply may be and still make up for it,
// by datagrams that follow each other at once: a thread that wakes late must not slow
// the reply down, and one that was away for long must not burst.
func catchUpNanos(kbit uint32) int64 { return min(gapNanos(catchUpBytes, kbit), maxCatchUpNanos) }

// departDue puts the replies whose time has come on the list.
func (l *Loop) departDue() int {
	if l.wheel.size == 0 {
		return 0
	}
	return l.wheel.due(l.nowNanos, l.leaveFrame)
}

func (l *Loop) leave(tx port.Tx) { l.tx = append(l.tx, tx) }

// exactSleep lets the calling thread sleep for exactly as long as it asks: by default
// the kernel adds up to 50 µs, which paced replies would be late by.
func exactSleep() {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // best effort
}
