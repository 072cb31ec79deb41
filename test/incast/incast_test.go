package main

import (
	"testing"
	"time"

	"gannet/client"
)

// TestSimulationOrdersTheWays: at both sizes grants lose nothing and keep the queue
// short, a window keeps it full, and nothing at all overruns it.
func TestSimulationOrdersTheWays(t *testing.T) {
	for name, s := range map[string]scene{"lab": theLab, "fleet": theFleet} {
		grants := simulateMany(s, client.IncastGrants, 20)
		window := simulateMany(s, client.IncastWindow, 20)
		none := simulateMany(s, client.IncastNone, 20)
		if grants.lost > 0.001 || grants.p99 > 1.2 {
			t.Errorf("%s: grants lose %.4f and take %.2f", name, grants.lost, grants.p99)
		}
		if none.lost < 0.01 {
			t.Errorf("%s: without control %.4f are lost: there is no incast", name, none.lost)
		}
		if grants.waitMicros >= window.waitMicros || grants.p99 > window.p99*1.05 {
			t.Errorf("%s: grants and window: a neighbour waits %.1f and %.1f µs, p99 is %.2f and %.2f", name,
				grants.waitMicros, window.waitMicros, grants.p99, window.p99)
		}
	}
}

func TestSimulationIsOfItsSeed(t *testing.T) {
	s := theLab
	s.Seed = 5
	a, b := simulate(s, client.IncastNone), simulate(s, client.IncastNone)
	if a.DoneNanos != b.DoneNanos || a.Lost != b.Lost {
		t.Errorf("%v and %v from one seed", a, b)
	}
}

// TestSimulationDeliversAll: it ends when every datagram is there, no sooner than the
// link can carry them.
func TestSimulationDeliversAll(t *testing.T) {
	for mode := range modeNames {
		got := simulate(theLab, client.IncastMode(mode))
		if got.DoneNanos < got.IdealNanos || got.Sent-got.Lost < multiKeys*4 || got.QueueBytes > bufferBytes {
			t.Errorf("%s: %+v", modeNames[mode], got)
		}
	}
}

func TestBroughtDown(t *testing.T) {
	var series []moment
	var sum counted
	for i := range 100 {
		sum.packets += 100
		if i >= 10 && i < 30 {
			sum.dropped += 100
		}
		series = append(series, moment{time.Duration(i) * liarTick, sum})
	}
	after, worst, ok := broughtDown(series)
	if !ok || worst != 0.5 || after < 19*liarTick || after > 20*liarTick {
		t.Errorf("brought down after %v (worst %.2f, %v), want about a second", after, worst, ok)
	}
	if _, _, ok := broughtDown(series[:5]); ok {
		t.Error("without loss there is nothing to judge")
	}
}
