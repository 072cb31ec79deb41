package bpf

import (
	"testing"
	"time"
)

// sharedBy is SHARED_BY of steer.h.
const sharedBy = 8

// arrival runs a packet and returns the time in its metadata.
func (b *bench) arrival() int64 {
	b.tb.Helper()
	_, out := b.run(packet{}.frame(b.tb), nil)
	meta, ok := ReadMeta(out)
	if now := bootNanos(b.tb); !ok || meta.ArrivalNanos > now {
		b.tb.Fatalf("metadata %+v %v at %d", meta, ok, now)
	}
	return meta.ArrivalNanos
}

func TestPacketsShareAReading(t *testing.T) {
	b := load(t, testConfig())
	deadline := time.Now().Add(time.Minute)
	for last := int64(0); ; {
		next := b.arrival()
		if next == last {
			return
		}
		if last = next; time.Now().After(deadline) {
			t.Fatal("in a minute no two packets shared a reading")
		}
	}
}

func TestAReadingEnds(t *testing.T) {
	b := load(t, testConfig())
	t.Run("with the turn", func(t *testing.T) {
		for range 100 {
			now := bootNanos(t)
			b.Stamp(0, now)
			if at := b.arrival(); at < now {
				t.Fatalf("%d ns before the stamp", now-at)
			}
		}
	})
	t.Run("with a tick", func(t *testing.T) {
		b.Stamp(0, bootNanos(t))
		at := b.arrival()
		for end := bootNanos(t) + int64(100*time.Millisecond); bootNanos(t) < end; {
		}
		if b.arrival() == at {
			t.Fatal("shared after 100 ms")
		}
	})
	t.Run("after so many packets", func(t *testing.T) {
		b.Stamp(0, bootNanos(t))
		at := b.arrival()
		for range sharedBy - 1 {
			b.arrival()
		}
		if b.arrival() == at {
			t.Fatalf("shared by more than %d", sharedBy)
		}
	})
}

// A bucket is filled by the time between packets, however many share a reading.
func TestRateTakesTheExactTime(t *testing.T) {
	cfg := testConfig()
	cfg.Rate = Rate{PacketsPerSecond: 1000, Burst: 1 << 20}
	b := load(t, cfg)
	for last := int64(0); last < 100*sharedBy; last++ {
		before := bootNanos(t)
		if at := b.arrival(); at < before {
			t.Fatalf("%d ns before it was sent", before-at)
		}
	}
}
