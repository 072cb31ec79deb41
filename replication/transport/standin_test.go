package transport

import (
	"math/rand/v2"
	"slices"
	"testing"

	"gannet/ring"
)

// TestStandsInWhereItFollowsForOneThatIsDown, and nowhere else.
func TestStandsInWhereItFollowsForOneThatIsDown(t *testing.T) {
	f := &flock{t: t}
	states := []ring.State{ring.Active, ring.Active, ring.Active, ring.Down, ring.Returning, ring.Joining, ring.Leaving}
	now, whole := []ring.Member{}, []ring.Member{}
	for i, state := range states {
		now = append(now, member(uint64(i+1), state))
		if state == ring.Down || state == ring.Returning {
			state = ring.Active
		}
		whole = append(whole, member(uint64(i+1), state))
	}
	r, all := f.ring(7, now...), f.ring(7, whole...)
	r2 := rand.New(rand.NewPCG(1, 1))
	for self := uint64(1); self <= uint64(len(states)); self++ {
		ranges, standing := standsIn(r, self), 0
		for range 2000 {
			hash := r2.Uint64()
			got := slices.ContainsFunc(ranges, func(g ring.Range) bool { return g.Contains(hash) })
			if want := r.Holds(self, hash) && !all.Holds(self, hash); got != want {
				t.Fatalf("member %d, %x: stands in %v, want %v", self, hash, got, want)
			} else if got {
				standing++
			}
		}
		if serves := states[self-1].Serves(); (standing > 0) != serves {
			t.Errorf("member %d, %v, stands in for %d of 2000", self, states[self-1], standing)
		}
	}
	if ranges := standsIn(all, 1); ranges != nil {
		t.Errorf("with nobody down it stands in for %d ranges", len(ranges))
	}
	if standsIn(nil, 1) != nil {
		t.Error("without a ring it stands in")
	}
}
