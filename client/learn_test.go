package client

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestLearnerFinds: whatever queues the NIC picks, if some source port fits, then
// in the end only ports that fit are used; if none does, all are.
func TestLearnerFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(1, 8).Draw(t, "slots")
		queues := rapid.Uint16Range(1, 8).Draw(t, "queues")
		own := rapid.Uint16Range(0, 8).Draw(t, "own queue")
		l := newLearner(own, slots)
		ports := make([]uint16, slots) // the queue of each slot's source port
		for i := range ports {
			ports[i] = rapid.Uint16Range(0, queues-1).Draw(t, "queue")
		}
		next := uint16(0)
		for range 2000 {
			slot := l.pick()
			if l.learn(slot, ports[slot]) {
				next++
				ports[slot] = next % queues // a new port: in turn, so that each queue comes up
			}
		}
		if own >= queues {
			if l.tries != portTries {
				t.Fatalf("gave up after %d ports, want %d", l.tries, portTries)
			}
			return
		}
		for range 2 * slots {
			if slot := l.pick(); ports[slot] != own {
				t.Fatalf("slot %d arrives on queue %d, the shard's is %d", slot, ports[slot], own)
			}
		}
	})
}

// TestLearnerForgets: a port that stops fitting, because the NIC was set up anew,
// is given up.
func TestLearnerForgets(t *testing.T) {
	l := newLearner(1, 1)
	if l.learn(0, 1); l.good != 1 {
		t.Fatal("a fitting port must count")
	}
	if !l.learn(0, 2) || l.good != 0 {
		t.Fatal("a port that no longer fits must be replaced")
	}
}

func TestEstimator(t *testing.T) {
	e := estimator{min: 100 * time.Microsecond, max: 50 * time.Millisecond}
	if got := e.timeout(0); got != initialRTO {
		t.Errorf("before the first sample: %v, want %v", got, initialRTO)
	}
	e.observe(time.Millisecond)
	if got := e.timeout(0); got != 3*time.Millisecond {
		t.Errorf("after one sample of 1ms: %v, want 1ms + 4 × 0.5ms", got)
	}
	for range 100 {
		e.observe(time.Millisecond)
	}
	if got := e.timeout(0); got < time.Millisecond || got > 1010*time.Microsecond {
		t.Errorf("after steady samples: %v, want little over 1ms", got)
	}
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 50, 50} {
		if got := e.timeout(i).Truncate(time.Millisecond); got != want*time.Millisecond {
			t.Errorf("after %d silences: %v, want %v", i, got, want*time.Millisecond)
		}
	}
	for range 200 {
		e.observe(time.Microsecond)
	}
	if got := e.timeout(0); got != e.min {
		t.Errorf("after quick samples: %v, want the least", got)
	}
	e.observe(10 * time.Second)
	if got := e.timeout(0); got != e.max {
		t.Errorf("after a stall: %v, want the most", got)
	}
}
