package dataplane

import (
	"fmt"
	"testing"

	"gannet/board"
	"gannet/dataplane/port"
	"gannet/dataplane/porttest"
	"gannet/wire"
)

// collectUntil turns the loop in steps of a microsecond, and returns when each reply
// datagram left, from begin on.
func collectUntil(r *rig, begin, end int64) (times []int64) {
	for r.now < end {
		r.loop.Turn(r.now)
		for range r.take() {
			times = append(times, r.now-begin)
		}
		r.now += 1000
	}
	return times
}

// TestValuesOfOneGrantFollowEachOther: a grant is the rate of the whole reply, not of
// each of its values.
func TestValuesOfOneGrantFollowEachOther(t *testing.T) {
	r := newRig(t, rigOptions{port: porttest.Options{Strict: true}})
	var ops []wire.Op
	for i := range 4 {
		key := fmt.Sprint("k", i)
		r.storeLong(key, pattern(4096))
		ops = append(ops, get(key))
	}
	h := r.header()
	h.GrantRateKbit, h.FanOut = 100_000, 16 // a datagram of 1,136 bytes takes 91 µs
	begin := r.now
	r.inject(datagram(h, ops...))
	times := collectUntil(r, begin, begin+4e6)
	if len(times) != 16 {
		t.Fatalf("%d datagrams, want 16", len(times))
	}
	if last := times[15]; last < 15*90_000 || last > 16*92_000 {
		t.Errorf("the last of 16 left after %d ns, want about 1,363,000", last)
	}
	for i := 2; i < len(times); i++ {
		if times[i]-times[i-2] < 150_000 {
			t.Errorf("datagrams %d to %d left within %d ns", i-2, i, times[i]-times[i-2])
		}
	}
}

// TestALateLoopMakesUpForIt: a loop that was away for a moment is back on its grant
// soon after; after a long absence it does not burst.
func TestALateLoopMakesUpForIt(t *testing.T) {
	for _, c := range []struct{ away, most int64 }{{300_000, 20 * 92_000}, {10e6, 10e6 + 20*92_000}} {
		r := newRig(t, rigOptions{})
		r.storeLong("k", pattern(20*1024))
		h := r.header()
		h.GrantRateKbit = 100_000
		begin := r.now
		r.inject(datagram(h, get("k")))
		first := collectUntil(r, begin, begin+500_000)
		r.now += c.away
		again := collectUntil(r, begin, begin+30e6)
		if len(first)+len(again) != 20 {
			t.Fatalf("%d datagrams, want 20", len(first)+len(again))
		}
		if last := again[len(again)-1]; last > c.most {
			t.Errorf("away for %d ns: the last left after %d, want %d at most", c.away, last, c.most)
		}
		burst := 0
		for _, at := range again {
			if at-again[0] < 10_000 {
				burst++
			}
		}
		if burst > 7 {
			t.Errorf("away for %d ns: %d datagrams left at once", c.away, burst)
		}
	}
}

func lossOf(r *rig) (l board.Loss) {
	if all := r.board.Losses(0).Read(nil); len(all) == 1 {
		return all[0]
	}
	return l
}

func TestWhatIsAskedForAgainIsNoted(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.storeLong("k", pattern(4096))
	r.storeLong("short", pattern(100))
	h := r.header()
	r.inject(datagram(h, get("short")))
	r.turns()
	r.take()
	if l := lossOf(r); l.Session != 0 {
		t.Errorf("a single GET is on the books: %+v", l)
	}
	h = r.header()
	h.FanOut, h.GrantRateKbit = 3, 1e6
	r.inject(datagram(h, get("k"), get("short")))
	collectUntil(r, r.now, r.now+1e6)
	if l := lossOf(r); l.Session != 77 || l.SentBytes != 4196 || l.AgainBytes != 0 || l.GrantedKbit != 1e6 {
		t.Errorf("after the first request: %+v", l)
	}
	h = r.header()
	h.FanOut, h.GrantRateKbit = 3, 1e6
	again := get("k")
	again.Flags, again.OffsetBytes, again.TotalBytes = wire.OpSegment, 1024, 2048
	r.inject(datagram(h, again))
	collectUntil(r, r.now, r.now+1e6)
	if l := lossOf(r); l.SentBytes != 4196+2048 || l.AgainBytes != 2048 {
		t.Errorf("after two parts were asked for again: %+v", l)
	}
}

// TestAnImpatientClientLosesNothing: what is asked for again while it is still being
// sent is no loss, and is not sent twice.
func TestAnImpatientClientLosesNothing(t *testing.T) {
	r := newRig(t, rigOptions{port: porttest.Options{Strict: true}})
	r.storeLong("k", pattern(8192))
	h := r.header()
	h.FanOut, h.GrantRateKbit = 3, 1000 // 9 ms a datagram
	begin := r.now
	r.inject(datagram(h, get("k")))
	first := len(collectUntil(r, begin, begin+10e6))
	h = r.header()
	h.FanOut, h.GrantRateKbit = 3, 1e6
	again := get("k")
	again.Flags = wire.OpSegment
	r.inject(datagram(h, again))
	second := len(collectUntil(r, begin, begin+100e6))
	if first != 2 || second != 8 {
		t.Errorf("%d and %d datagrams, want 2 and 8", first, second)
	}
	if l := lossOf(r); l.AgainBytes != 0 {
		t.Errorf("%d bytes count as asked for again", l.AgainBytes)
	}
	// Two ranges of one value in one datagram do not end each other.
	h = r.header()
	h.FanOut, h.GrantRateKbit = 3, 1e6
	low, high := again, again
	low.TotalBytes, high.OffsetBytes, high.TotalBytes = 2048, 4096, 2048
	r.inject(datagram(h, low, high))
	if n := len(collectUntil(r, r.now, r.now+10e6)); n != 4 {
		t.Errorf("%d datagrams of two ranges, want 4", n)
	}
}

// TestACapHoldsForAllRequests: two requests of a capped session share its rate.
func TestACapHoldsForAllRequests(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.storeLong("a", pattern(4096))
	r.storeLong("b", pattern(4096))
	r.board.Pacing().Cap(77, 10_000) // 909 µs a datagram
	begin := r.now
	for _, key := range []string{"a", "b"} {
		h := r.header()
		h.FanOut, h.GrantRateKbit = 3, 1e6
		r.inject(datagram(h, get(key)))
	}
	times := collectUntil(r, begin, begin+20e6)
	if len(times) != 8 {
		t.Fatalf("%d datagrams, want 8", len(times))
	}
	if last := times[7]; last < 6_300_000 || last > 7_400_000 {
		t.Errorf("the last left after %d ns, want about 6,363,000", last)
	}
}

// TestTheWheelIsExact: between two turns a reply is due or it is not; slots do not
// matter, and the wait ends at the very next departure.
func TestTheWheelIsExact(t *testing.T) {
	var w wheel
	w.init(8)
	now := int64(5e12)
	at := []int64{now + 1, now + 900, now + wheelTickNanos + 7, now + 3*wheelSlots*wheelTickNanos}
	for i, nanos := range at {
		w.hold(port.Tx{Frame: port.Frame(i), DepartureNanos: nanos}, now)
	}
	for i, nanos := range at[:3] {
		if wait := w.waitNanos(now, 1e9); wait != nanos-now {
			t.Errorf("reply %d: a wait of %d ns, want %d", i, wait, nanos-now)
		}
		if n := w.due(nanos-1, func(port.Tx) {}); n != 0 {
			t.Errorf("reply %d left before its time", i)
		}
		if n := w.due(nanos, func(tx port.Tx) {
			if tx.Frame != port.Frame(i) {
				t.Errorf("frame %d left, want %d", tx.Frame, i)
			}
		}); n != 1 {
			t.Errorf("%d replies left at the time of one", n)
		}
		now = nanos
	}
	if wait := w.waitNanos(now, 25e6); wait != 25e6 {
		t.Errorf("a wait of %d ns for one that goes round three times", wait)
	}
}
