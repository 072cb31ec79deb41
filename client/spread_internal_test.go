package client

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestTheShareSettlesWithinTheBound: shards that are as busy as they are asked, and say
// so 20 ms later and roughly, come to rest with the first below the bound.
func TestTheShareSettlesWithinTheBound(t *testing.T) {
	const (
		bound, aim = 1.25, (1 + 1.25) / 2
		stepNanos  = int64(1e6)
		late       = 20 // steps
	)
	for _, replicas := range []float64{2, 3, 4} {
		random := rand.New(rand.NewPCG(1, uint64(replicas)))
		var s spread
		var history []float64 // the first's load, as a multiple of the mean
		worst, sum := 0.0, 0.0
		for step := range 5000 {
			told := replicas // at first it is asked for everything
			if len(history) > late {
				told = history[len(history)-late]
			}
			told *= 0.9 + 0.2*random.Float64()
			share := s.now(int64(step+1)*stepNanos, func() float64 { return told/aim - 1 })
			load := replicas * (1 - share)
			history = append(history, load)
			if step >= 3000 {
				worst, sum = max(worst, load), sum+load
			}
		}
		if mean := sum / 2000; worst > bound || math.Abs(mean-aim) > 0.05 {
			t.Errorf("%v replicas: the first has %.2f × the mean, at worst %.2f", replicas, mean, worst)
		}
	}
}

func TestNobodyTurnsAwayFromTheIdle(t *testing.T) {
	var s spread
	for step := range int64(1000) {
		if share := s.now(step*spreadStepNanos, func() float64 { return 1/1.125 - 1 }); share != 0 {
			t.Fatalf("share %v", share)
		}
	}
}

func TestAGaugeForgets(t *testing.T) {
	var g gauge
	g.set(65535, 1e9)
	for after, want := range map[int64]float64{0: 1, loadHalfNanos - 1: 1, loadHalfNanos: 0.5, 3 * loadHalfNanos: 0.125, 1e12: 0} {
		if got := g.load(1e9 + after); math.Abs(got-want) > 1e-9 {
			t.Errorf("after %d ns: %v, want %v", after, got, want)
		}
	}
}

func TestBudget(t *testing.T) {
	var b budget
	for range 10_000 {
		b.earn(0.1)
	}
	n := 0
	for b.take(forSilentMilli) {
		n++
	}
	m := 0
	for b.take(0) {
		m++
	}
	if n != 32 || m != 32 {
		t.Errorf("%d for anything, %d for the silent", n, m)
	}
	for range 1000 {
		b.owe()
	}
	earned := 0
	for !b.take(0) {
		b.earn(0.1)
		earned++
	}
	if earned != 650 {
		t.Errorf("paid back after %d calls", earned)
	}
	if last := &b.resendNanos; !trickle(last, 5e9) || trickle(last, 5e9+trickleNanos-1) || !trickle(last, 5e9+trickleNanos) {
		t.Error("the trickle")
	}
	var c credit
	for range 100 {
		c.earn()
	}
	spent := 0
	for c.take() {
		spent++
	}
	if spent != mostCredit {
		t.Errorf("credit of %d", spent)
	}
}
