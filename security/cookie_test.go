package security

import (
	"testing"

	"pgregory.net/rapid"
)

const period = int64(60_000_000_000)

var master = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

func TestCookieRotation(t *testing.T) {
	c := NewCookies(master, period)
	address := [16]byte{10: 0xFF, 11: 0xFF, 12: 192, 13: 0, 14: 2, 15: 1}
	made := 7*period + period/2
	cookie := c.Make(address, 5000, made)
	for _, at := range []struct {
		nowNanos int64
		valid    bool
		when     string
	}{
		{made, true, "at once"},
		{8*period - 1, true, "at the end of its period"},
		{8 * period, true, "in the next period"},
		{9*period - 1, true, "at the end of the next period"},
		{9 * period, false, "two periods later"},
		{6 * period, false, "before it was made"},
		{100 * period, false, "long after"},
	} {
		if got := c.Valid(cookie, address, 5000, at.nowNanos); got != at.valid {
			t.Errorf("%s: valid is %v", at.when, got)
		}
	}
}

func TestCookieBelongsToOneAddress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := NewCookies(master, rapid.Int64Range(1, 1e12).Draw(t, "period"))
		nowNanos := rapid.Int64Range(0, 1<<60).Draw(t, "now")
		address := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address"))
		port := rapid.Uint16().Draw(t, "port")
		cookie := c.Make(address, port, nowNanos)
		if cookie == 0 || !c.Valid(cookie, address, port, nowNanos) {
			t.Fatalf("cookie %#x is not good for its owner", cookie)
		}
		other, otherMaster := address, master
		other[rapid.IntRange(0, 15).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		otherMaster[rapid.IntRange(0, 15).Draw(t, "key byte")] ^= 0x10
		for name, valid := range map[string]bool{
			"another address": c.Valid(cookie, other, port, nowNanos),
			"another port":    c.Valid(cookie, address, port+1, nowNanos),
			"another cookie":  c.Valid(cookie^1<<rapid.IntRange(0, 63).Draw(t, "cookie bit"), address, port, nowNanos),
			"no cookie":       c.Valid(0, address, port, nowNanos),
			"another key":     NewCookies(otherMaster, c.periodNanos).Valid(cookie, address, port, nowNanos),
		} {
			if valid {
				t.Fatalf("the cookie is good for %s", name)
			}
		}
	})
}

// TestCookieLifetime: good for a whole period whenever it was made, and for two at most.
func TestCookieLifetime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := NewCookies(master, period)
		made := rapid.Int64Range(0, 1<<60).Draw(t, "made")
		cookie := c.Make([16]byte{}, 1, made)
		within := rapid.Int64Range(0, period).Draw(t, "within a period")
		after := rapid.Int64Range(2*period, 1<<61).Draw(t, "after two periods")
		if !c.Valid(cookie, [16]byte{}, 1, made+within) || c.Valid(cookie, [16]byte{}, 1, made+after) {
			t.Fatalf("made at %d: wrong %d or %d ns later", made, within, after)
		}
	})
}

func TestShortPeriodsAreLengthened(t *testing.T) {
	c := NewCookies(master, 0)
	if !c.Valid(c.Make([16]byte{}, 1, 10), [16]byte{}, 1, 999_999_999) {
		t.Error("a cookie did not outlive a round trip")
	}
}

func TestNoAllocations(t *testing.T) {
	c := NewCookies(master, period)
	if n := testing.AllocsPerRun(100, func() {
		if !c.Valid(c.Make([16]byte{1}, 2, 3), [16]byte{1}, 2, 3) {
			t.Error("not valid")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkValid(b *testing.B) {
	c := NewCookies(master, period)
	cookie := c.Make([16]byte{1}, 2, 3)
	for b.Loop() {
		c.Valid(cookie, [16]byte{1}, 2, 3)
	}
}
