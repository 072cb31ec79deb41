package client

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"gannet/wire"
)

// TestSlotsNeverOverlap: whatever is reserved and released when, the link is never
// given to two at once, each slot is long enough for its bytes, and no time is left
// unused between slots that were asked for in time.
func TestSlotsNeverOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := calendar{bitsPerSecond: rapid.Int64Range(1e6, 400e9).Draw(t, "rate")}
		now, busyUntil, open := int64(0), int64(0), 0
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				now += rapid.Int64Range(0, 30e6).Draw(t, "passes")
			case 1:
				if open == 0 {
					continue
				}
				n := rapid.IntRange(1, open).Draw(t, "released")
				c.release(n, now)
				if open -= n; open == 0 {
					busyUntil = min(busyUntil, now) // nothing is on its way any more
				}
			default:
				bytes := rapid.IntRange(1, 1<<20).Draw(t, "bytes")
				start, end := c.reserve(now, bytes)
				open++
				if start < busyUntil {
					t.Fatalf("a slot from %d, but the link is taken until %d", start, busyUntil)
				}
				if want := max(now, busyUntil); start != want {
					t.Fatalf("a slot from %d, though the link is free from %d", start, want)
				}
				if carried := float64(end-start) * float64(c.bitsPerSecond) / 8e9; carried < float64(bytes)*(1-1e-9) {
					t.Fatalf("a slot of %d ns carries %.1f of %d bytes", end-start, carried, bytes)
				}
				busyUntil = end
			}
		}
	})
}

func TestWireBytesOfValues(t *testing.T) {
	n := &node{client: &Client{settings: settings{maxPayloadBytes: DefaultMaxPayload}}}
	const head = wire.ReplyHeaderBytes + wire.ReplyOpHeaderBytes + frameBytes
	for _, c := range []struct{ value, want int }{{4096, 4096 + 4*head}, {2000, 2000 + 2*head}, {1025 + 4096, 1025 + 4096 + 6*head}} {
		if got := n.wireBytes(c.value); got != c.want {
			t.Errorf("a value of %d bytes takes %d, want %d", c.value, got, c.want)
		}
	}
	if one := n.wireBytes(100); one < 148 || one > 148*11/10 {
		t.Errorf("a value of 100 bytes beside others takes %d", one)
	}
}

func TestSizesAreLearnedByKind(t *testing.T) {
	var s sizes
	if got := s.expect([]byte("user:1")); got != firstSize {
		t.Errorf("nothing learned: %d", got)
	}
	for range 100 {
		s.observe([]byte("user:7"), 4000)
		s.observe([]byte("count.7"), 8)
	}
	if got := s.expect([]byte("user:99")); got < 3990 || got > 4010 {
		t.Errorf("users are expected to have %d bytes, want 4,000", got)
	}
	if got := s.expect([]byte("count.99")); got > 10 {
		t.Errorf("counts are expected to have %d bytes, want 8", got)
	}
	s.observe([]byte("user:7"), 8000)
	if got := s.expect([]byte("user:99")); got < 4900 {
		t.Errorf("after a longer value %d are expected: sizes must rise fast", got)
	}
	s.observe([]byte("user:7"), 0)
	if got := s.expect([]byte("user:99")); got < 4500 {
		t.Errorf("after a miss %d are expected: sizes must fall slowly", got)
	}
}

// TestASlotIsGranted: the offset counts from the request's arrival, and what is asked
// for again gets a slot of its own behind the others.
func TestASlotIsGranted(t *testing.T) {
	cl := &Client{settings: settings{maxPayloadBytes: DefaultMaxPayload, linkBits: 1e9}}
	cl.incast.init()
	n := &node{client: cl}
	n.noteLeast(int64(200 * time.Microsecond))
	c := &call{client: cl, multi: true, expected: 5000, fanOut: 3}
	c.targets[0], c.aims = target{node: n}, 1
	c.add(wire.Get, "a:1")
	c.slot = cl.incast.reserve(n, 5e6, 10_000)
	var h wire.RequestHeader
	c.grant(&h, &c.targets[0], 1e6)
	if h.GrantOffsetMicros != 3800 || h.ExpectedBytes != 5000 || h.FanOut != 3 {
		t.Errorf("offset %d µs, %d bytes, fan-out %d: want 3,800, 5,000 and 3", h.GrantOffsetMicros, h.ExpectedBytes, h.FanOut)
	}
	// Payload alone at that rate, with framing, is the share of the link.
	rate := float64(h.GrantRateKbit) * 1000 * float64(1136+frameBytes) / 1136
	if rate > linkShare*1e9 || rate < linkShare*1e9*0.999 {
		t.Errorf("the rate with framing is %.0f bit/s, want %.0f", rate, linkShare*1e9)
	}
	first := c.slot
	c.targets[0].sends = 1
	c.grant(&h, &c.targets[0], 4e6)
	if c.slot.startNanos < first.endNanos || c.slots() != 2 {
		t.Errorf("asked again: a slot from %d, the first ended at %d; %d slots", c.slot.startNanos, first.endNanos, c.slots())
	}
	cl.incast.calendar.release(c.slots(), 9e6)
	if cl.incast.calendar.open != 0 {
		t.Errorf("%d reservations are open", cl.incast.calendar.open)
	}
}
