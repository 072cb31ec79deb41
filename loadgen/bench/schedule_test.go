package bench

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// TestScheduleKeepsItsRate: over many gaps the rate is the one asked for, moments
// never go back, and uniform gaps are equal.
func TestScheduleKeepsItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(10, 5e6).Draw(t, "rate")
		law := rapid.SampledFrom([]Arrivals{Poisson, Uniform}).Draw(t, "law")
		start := rapid.Int64Range(0, 1e12).Draw(t, "start")
		s := newSchedule(start, rate, law, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)))
		const n = 20_000
		first, before := s.at(), s.at()
		if first < start {
			t.Fatalf("the first at %d, before the start %d", first, start)
		}
		for range n {
			s.pass()
			if s.at() < before {
				t.Fatal("a moment before the last one")
			}
			if gap := float64(s.at() - before); law == Uniform && math.Abs(gap-1e9/rate) > 2 {
				t.Fatalf("a gap of %g, want %g", gap, 1e9/rate)
			}
			before = s.at()
		}
		got := n / (float64(before-first) / 1e9)
		if math.Abs(got-rate)/rate > 0.06 { // 8 standard deviations of a Poisson law, and rounding
			t.Fatalf("%g a second instead of %g", got, rate)
		}
	})
}

func TestPoissonGapsAreExponential(t *testing.T) {
	s := newSchedule(0, 1000, Poisson, rand.New(rand.NewPCG(1, 2)))
	const n = 100_000
	longer := 0
	for range n {
		before := s.at()
		s.pass()
		if s.at()-before > 2_000_000 { // twice the mean
			longer++
		}
	}
	if share := float64(longer) / n; math.Abs(share-math.Exp(-2)) > 0.005 {
		t.Errorf("%.4f of the gaps are over twice the mean, an exponential law has %.4f", share, math.Exp(-2))
	}
}

func TestPassTo(t *testing.T) {
	s := newSchedule(0, 1000, Uniform, rand.New(rand.NewPCG(1, 2)))
	if n := s.passTo(1e9); n != 1000 || s.at() < 1e9 {
		t.Errorf("%d passed in a second, next at %d", n, s.at())
	}
}
