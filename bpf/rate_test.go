package bpf

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
)

func (b *bench) rate(rate Rate) {
	b.tb.Helper()
	if err := b.SetRate(rate); err != nil {
		b.tb.Fatal(err)
	}
}

func (b *bench) expectMany(frame []byte, times int, want Reason) {
	b.tb.Helper()
	for range times {
		b.expect(frame, want)
	}
}

// bucket reads, and refill rewrites, when a source's bucket is full again.
func (b *bench) bucket(of source) (fullNanos uint64) {
	b.tb.Helper()
	if err := b.maps.Buckets.Lookup(&of, &fullNanos); err != nil {
		b.tb.Fatal(err)
	}
	return fullNanos
}

func (b *bench) refill(of source, earlier time.Duration) {
	b.tb.Helper()
	full := b.bucket(of) - uint64(earlier)
	if err := b.maps.Buckets.Put(&of, &full); err != nil {
		b.tb.Fatal(err)
	}
}

// perPacket is long: no packet's worth of time passes within a test.
const perPacket = 4 * time.Second

// slowly sets a rate of one packet in perPacket.
func (b *bench) slowly(burst uint64) { b.settings.store(0, uint64(perPacket)<<32|burst) }

func TestRate(t *testing.T) {
	b := load(t, testConfig())
	b.slowly(5)
	frame, other := packet{}.frame(t), packet{source: client6}.frame(t)
	b.expectMany(frame, 5, Redirected)
	b.expectMany(frame, 2, DropRate)
	b.expectMany(other, 5, Redirected) // who has a bucket of its own
	b.expectMany(other, 1, DropRate)

	b.refill(newSource(client6), 2*perPacket)
	b.expectMany(other, 2, Redirected)
	b.expectMany(other, 1, DropRate)

	b.refill(newSource(client6), 10*perPacket) // a bucket holds no more than its burst
	b.expectMany(other, 5, Redirected)
	b.expectMany(other, 1, DropRate)
	b.expectMany(frame, 1, DropRate)

	b.rate(Rate{})
	b.expectMany(other, 10, Redirected)
	b.expectMany(frame, 10, Redirected)
}

func TestRateFromConfig(t *testing.T) {
	cfg := testConfig()
	cfg.Rate = Rate{PacketsPerSecond: 1, Burst: 1}
	b := load(t, cfg)
	moved := b.reasonsOf(func() {
		for range 50 {
			b.run(packet{}.frame(t), nil)
		}
	})
	if moved[Redirected] == 0 || moved[DropRate] == 0 || moved[Redirected]+moved[DropRate] != 50 {
		t.Fatalf("50 packets at once, one a second allowed: %v", moved)
	}
}

// After a change of the rate nobody pays for the past more than an empty bucket.
func TestRateChangeForgivesDebt(t *testing.T) {
	b := load(t, testConfig())
	b.slowly(1)
	frame := packet{}.frame(t)
	b.expectMany(frame, 1, Redirected)
	b.refill(newSource(client4), -9000*perPacket)
	b.slowly(5)
	b.expectMany(frame, 1, DropRate)
	if debt := int64(b.bucket(newSource(client4))) - bootNanos(t); debt > int64(5*perPacket) {
		t.Fatalf("bucket full again in %v", time.Duration(debt))
	}
	b.refill(newSource(client4), perPacket)
	b.expectMany(frame, 1, Redirected)
	b.expectMany(frame, 1, DropRate)
}

// Cores that compete for a bucket get no more out of it together than one alone.
func TestRateUnderContention(t *testing.T) {
	const workers, burst, packets = 2, 150_000, 100_000
	b := load(t, testConfig())
	b.slowly(burst)
	frame := packet{}.frame(t)
	b.run(frame, nil) // the first packet makes the bucket
	moved := b.reasonsOf(func() {
		var all sync.WaitGroup
		for range workers {
			all.Go(func() {
				// In the kernel, so that they really meet.
				if _, err := b.program.Run(&ebpf.RunOptions{Data: frame, Repeat: packets}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
	// Who loses every attempt is let through, and charged: at most one
	// more for each competitor.
	if got := moved[Redirected]; got < burst-1 || got > burst-1+workers {
		t.Fatalf("%d let through of %d, burst %d", got, workers*packets, burst)
	}
}

func TestMalformedPacketsCostNoTokens(t *testing.T) {
	b := load(t, testConfig())
	b.slowly(2)
	b.expectMany(changed(packet{}.frame(t), payloadAt4, 0), 10, DropMagic)
	b.expectMany(packet{}.frame(t), 2, Redirected)
	b.expectMany(packet{}.frame(t), 1, DropRate)
}

func TestRateWord(t *testing.T) {
	for _, c := range []struct {
		rate Rate
		want uint64
	}{
		{Rate{}, 0},
		{Rate{Burst: 7}, 0},
		{Rate{PacketsPerSecond: 1}, 1_000_000_000<<32 | 1},
		{Rate{PacketsPerSecond: 1000}, 1_000_000<<32 | 100},
		{Rate{PacketsPerSecond: 3, Burst: 9}, 333_333_334<<32 | 9},
		{Rate{PacketsPerSecond: MaxPacketsPerSecond, Burst: 1}, 100<<32 | 1},
	} {
		if got, err := c.rate.word(); err != nil || got != c.want {
			t.Errorf("%+v: %#x, %v; want %#x", c.rate, got, err, c.want)
		}
	}
	for _, rate := range []Rate{{PacketsPerSecond: -1}, {PacketsPerSecond: MaxPacketsPerSecond + 1}, {PacketsPerSecond: 1, Burst: -1}, {PacketsPerSecond: 1, Burst: 1 << 31}} {
		if _, err := rate.word(); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: error %v", rate, err)
		}
	}
}
