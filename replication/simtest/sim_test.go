package simtest

import (
	"context"
	"testing"

	"gannet/replication/internal/plant"
)

func TestInvariantsHold(t *testing.T) {
	s := Sweep(context.Background(), 1, 10, func(r Result) {
		if r.Broken != "" {
			t.Errorf("seed %d: %s", r.Seed, r.Broken)
		}
	})
	c := s.Counts
	if c.Promotions == 0 || c.Handovers == 0 || c.Lost == 0 || c.Degraded == 0 || c.Replicated == 0 {
		t.Errorf("too quiet to prove anything: %+v", c)
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	a, b := Run(5), Run(5)
	if a.Trace != b.Trace || a.Steps != b.Steps {
		t.Fatalf("%x in %d steps, then %x in %d", a.Trace, a.Steps, b.Trace, b.Steps)
	}
	if other := Run(6); other.Trace == a.Trace {
		t.Fatal("another seed gave the same trace")
	}
}

// Every fault that can be planted is seen by some invariant: else the invariants
// prove nothing.
func TestPlantedFaultsAreCaught(t *testing.T) {
	if n := int(plant.Faults) - 1; n < 12 {
		t.Fatalf("%d faults are too few", n)
	}
	for _, c := range Plants(context.Background(), 1, 100) {
		if c.Seed == 0 {
			t.Errorf("%s: no seed showed it", c.Fault)
			continue
		}
		t.Logf("%s: seed %d: %s", c.Fault, c.Seed, c.Broken)
	}
}
