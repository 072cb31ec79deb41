package replication

import (
	"testing"

	"gannet/ring"
)

func testController(t testing.TB, rec Record) *Controller {
	c := NewController(Config{}, 1, 0)
	c.Step(0, Elected{Yes: true})
	c.Step(0, RecordSeen{Record: rec})
	return c
}

func swaps(actions []Action) []Swap { return find[Swap](actions) }

func accuse(c *Controller, now int64, from, suspect uint64, number uint64) []Swap {
	c.Step(now, Tick{})
	return swaps(c.Step(now, Reported{Report{
		From: from, Life: 1, Number: number, Epoch: c.rec.Epoch(), Accused: []Accusation{{Suspect: suspect, Sign: Silence}},
	}}))
}

// The witnesses must leave the suspect no majority.
func TestPromotionNeedsEnoughWitnesses(t *testing.T) {
	for members, need := range map[int]int{2: 1, 3: 2, 4: 2, 5: 3, 7: 4} {
		c := testController(t, NewRecord(testRing(t, 1, make([]ring.State, members)...), 9, nil))
		for i := range need {
			got := accuse(c, int64(i+1)*ms, uint64(i+1), uint64(members), 1)
			if i+1 < need && len(got) != 0 {
				t.Fatalf("%d members: promoted on %d witnesses, need %d", members, i+1, need)
			}
			if i+1 == need && (len(got) != 1 || got[0].Record.Ring.Member(uint64(members)).State != ring.Down) {
				t.Fatalf("%d members: not promoted on %d witnesses", members, need)
			}
		}
	}
}

func TestNothingChangesWhileTheEpochBeforeIsOpen(t *testing.T) {
	c := testController(t, NewRecord(testRing(t, 2, make([]ring.State, 6)...), 9, []uint64{1, 2, 3}))
	for i, from := range []uint64{1, 4, 5} { // enough witnesses, but only 1 was a voter of epoch 1
		if got := accuse(c, int64(i+1)*ms, from, 6, 1); len(got) != 0 {
			t.Fatal("changed when one voter of three knows the epoch")
		}
	}
	if got := swaps(c.Step(9*ms, Reported{Report{From: 3, Life: 1, Number: 1, Epoch: 2}})); len(got) != 1 {
		t.Fatal("not changed when two of three know it")
	}
}

func TestLossesInSeveralZonesFreeze(t *testing.T) {
	c := testController(t, NewRecord(testRing(t, 1, make([]ring.State, 6)...), 9, nil))
	number := uint64(0)
	report := func(from uint64, suspects ...uint64) []Swap {
		number++
		r := Report{From: from, Life: 1, Number: number, Epoch: 1}
		for _, s := range suspects {
			r.Accused = append(r.Accused, Accusation{Suspect: s, Sign: Silence})
		}
		return swaps(c.Step(int64(number)*ms, Reported{r}))
	}
	// Members 4, 5 and 6 are in three zones: half of the members.
	for from := uint64(1); from <= 3; from++ {
		if got := report(from, 4, 5, 6); len(got) != 0 {
			t.Fatal("promoted though half of the members in three zones are lost")
		}
	}
	if c.why == "" {
		t.Fatal("it does not say that it is frozen")
	}
}

func TestLossOfOneZoneIsOrdinary(t *testing.T) {
	c := testController(t, NewRecord(testRing(t, 1, make([]ring.State, 6)...), 9, nil))
	var got []Swap
	for from := uint64(1); from <= 5; from++ {
		if from == 3 {
			continue
		}
		r := Report{From: from, Life: 1, Number: 1, Epoch: 1, Accused: []Accusation{{Suspect: 3, Sign: Silence}, {Suspect: 6, Sign: Silence}}}
		got = append(got, swaps(c.Step(int64(from)*ms, Reported{r}))...)
	}
	if len(got) != 1 || got[0].Record.Ring.Member(3).State != ring.Down || got[0].Record.Ring.Member(6).State != ring.Down {
		t.Fatalf("zone z not taken down: %v", got)
	}
}
