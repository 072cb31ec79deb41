package replication

import "testing"

// lackingAfter is what the last of the actions says is lacking.
func lackingAfter(t *testing.T, actions []Action) RangeSet {
	t.Helper()
	all := find[SetLacking](actions)
	if len(all) == 0 {
		t.Fatal("nothing is said of what is lacking")
	}
	return all[len(all)-1].Ranges
}

// TestWhatARepairBringsIsLackingUntilItsEnd.
func TestWhatARepairBringsIsLackingUntilItsEnd(t *testing.T) {
	n, ranges := following(t)
	if !n.said.lacking.Equal(ranges) {
		t.Fatalf("before the repair %d ranges are lacking, want %d", len(n.said.lacking), len(ranges))
	}
	n.Step(5*ms, Received{2, Begin{Epoch: 1, ID: 9, Ranges: ranges, Floor: []uint64{0}}})
	n.Step(6*ms, Received{2, Part{Epoch: 1, ID: 9, StampNanos: 5 * ms}})
	if got := find[SetLacking](n.Step(7*ms, PartApplied{From: 2, ID: 9})); len(got) != 0 {
		t.Fatalf("after the first of two parts: %v", got)
	}
	n.Step(8*ms, Received{2, Part{Epoch: 1, ID: 9, Number: 1, StampNanos: 7 * ms, Last: true}})
	if got := lackingAfter(t, n.Step(9*ms, PartApplied{From: 2, ID: 9, Number: 1})); len(got) != 0 {
		t.Fatalf("at the end of the repair %d ranges are lacking", len(got))
	}
	if got := lackingAfter(t, n.Step(10*ms, Received{2, Begin{Epoch: 1, ID: 10, Ranges: ranges[:1], Floor: []uint64{0}}})); !got.Equal(ranges[:1]) {
		t.Fatalf("another repair begins, and %d ranges are lacking", len(got))
	}
}

// TestLackingIsSaidBeforeTheRing: the shards must not follow by a ring, and not know yet
// what they lack.
func TestLackingIsSaidBeforeTheRing(t *testing.T) {
	n := newTestNode(t, 1)
	rec := NewRecord(testRing(t, 1, 0, 0), 100, nil)
	said := false
	for _, a := range n.Step(1*ms, RecordSeen{Record: rec, Linear: true}) {
		switch a := a.(type) {
		case SetLacking:
			said = len(a.Ranges) > 0
		case Publish:
			if !said {
				t.Fatal("the ring comes first")
			}
			return
		}
	}
	t.Fatal("no ring")
}

// TestItemsOfARepairOutliveALaterRing: who began without items, and was brought some
// since, keeps what it says that it has.
func TestItemsOfARepairOutliveALaterRing(t *testing.T) {
	n, ranges := following(t)
	n.Step(5*ms, Received{2, Begin{Epoch: 1, ID: 9, Ranges: ranges, Floor: []uint64{0}}})
	n.Step(6*ms, Received{2, Part{Epoch: 1, ID: 9, StampNanos: 5 * ms, Last: true}})
	n.Step(7*ms, PartApplied{From: 2, ID: 9})
	n.cold = true
	for _, d := range find[Drop](n.Step(8*ms, RecordSeen{Record: NewRecord(testRing(t, 2, 0, 0), 101, []uint64{1, 2})})) {
		if lost := NewRangeSet(d.Ranges).Intersect(n.ins[2].have); len(lost) > 0 {
			t.Fatalf("%d ranges are dropped and counted as had", len(lost))
		}
	}
}
