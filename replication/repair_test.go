package replication

import "testing"

// messages are those of one kind that went out.
func messages[M Message](actions []Action) (found []M) {
	for _, s := range find[Send](actions) {
		if m, ok := s.Message.(M); ok {
			found = append(found, m)
		}
	}
	return found
}

// leading is a node that leads, with member 2's link up and its stream begun; begin is
// the repair that it offers.
func leading(t *testing.T) (n *Node, begin Begin) {
	t.Helper()
	n = serving(t, 1, 2)
	n.Step(2*ms, LinkUp{2})
	n.Step(3*ms, Received{2, Resume{Epoch: 1}})
	begins := messages[Begin](n.Step(20*ms, Tick{}))
	if len(begins) != 1 {
		t.Fatalf("%d repairs begun", len(begins))
	}
	return n, begins[0]
}

// following is a node that follows member 2, and the ranges that it takes from it.
func following(t *testing.T) (n *Node, ranges RangeSet) {
	t.Helper()
	n = serving(t, 1, 2)
	n.Step(2*ms, LinkUp{2})
	n.Step(3*ms, Received{2, Open{Epoch: 1, Life: 7, Spans: []Span{{0, 0}}}})
	n.Step(4*ms, Received{2, Start{Epoch: 1, Life: 7, From: []uint64{0}}})
	return n, n.ins[2].ranges
}

// A node that lost its items must not teach its followers that there are none.
func TestNodeWithoutItemsOffersNoStream(t *testing.T) {
	n := newTestNode(t, 1)
	rec := NewRecord(testRing(t, 1, 0, 0), 100, nil) // not blank: the others may have items
	n.Step(1*ms, RecordSeen{Record: rec, Linear: true})
	if got := messages[Open](n.Step(2*ms, LinkUp{2})); len(got) != 0 {
		t.Fatalf("it greets its follower: %v", got)
	}
	if got := messages[Start](n.Step(3*ms, Received{2, Resume{Epoch: 1}})); len(got) != 0 {
		t.Fatalf("it streams: %v", got)
	}
}

// A part that no repair waits for would be waited for by the leader for ever.
func TestPartWithoutARepairAsksForAnother(t *testing.T) {
	n, ranges := following(t)
	if got := messages[Ready](n.Step(5*ms, Received{2, Begin{Epoch: 1, ID: 9, Ranges: ranges, Floor: []uint64{0}}})); len(got) != 1 {
		t.Fatal("the repair is not taken")
	}
	n.Step(6*ms, DataPlane{})
	n.Step(7*ms, DataPlane{Up: true, SinceNanos: 7 * ms})
	if got := messages[Redo](n.Step(8*ms, Received{2, Part{Epoch: 1, ID: 9, StampNanos: 5 * ms}})); len(got) != 1 {
		t.Fatal("the leader is not told that its repair is void")
	}
}

// What the data plane was given and had not taken when it was started anew is gone.
func TestBatchesLostWithTheDataPlaneComeAgain(t *testing.T) {
	n, _ := following(t)
	n.Step(5*ms, Received{2, Batch{Epoch: 1, Life: 7, After: 0, Upto: 5}})
	n.Step(6*ms, DataPlane{})
	if got := messages[Redo](n.Step(7*ms, DataPlane{Up: true, SinceNanos: 7 * ms})); len(got) != 1 {
		t.Fatal("the leader is not asked again")
	}
	got := messages[Resume](n.Step(8*ms, Received{2, Open{Epoch: 1, Life: 7, Spans: []Span{{0, 5}}}}))
	if len(got) != 1 || len(got[0].Positions) != 1 || got[0].Positions[0] != 0 {
		t.Fatalf("it resumes past what was lost: %+v", got)
	}
}

// A leader's scan is lost with its data plane.
func TestRepairBeginsAnewWithAnotherDataPlane(t *testing.T) {
	n, begin := leading(t)
	if got := find[Scan](n.Step(21*ms, Received{2, Ready{Epoch: 1, ID: begin.ID, StampNanos: 1}})); len(got) != 1 {
		t.Fatal("no scan")
	}
	n.Step(22*ms, DataPlane{})
	n.Step(23*ms, DataPlane{Up: true, SinceNanos: 23 * ms})
	if got := messages[Begin](n.Step(30*ms, Tick{})); len(got) != 1 || got[0].ID == begin.ID {
		t.Fatalf("it waits for the scan of a data plane that is gone: %v", got)
	}
}

// A Redo that comes too soon after a greeting is answered later, not never.
func TestEarlyRedoIsNotForgotten(t *testing.T) {
	n, _ := leading(t)
	n.outs[2].greetedAt = n.patient
	if got := messages[Open](n.Step(21*ms, Received{2, Redo{Epoch: 1}})); len(got) != 0 {
		t.Fatal("greeted at once")
	}
	if got := messages[Open](pass(n, 30*ms, 200*ms, nil)); len(got) == 0 {
		t.Fatal("never greeted again")
	}
}

// The floor is what a delete must lie beyond to be remembered: positions that are
// older than half a tombstone's life are below it, whenever they arrived.
func TestFloorFollowsHalfATombstonesLife(t *testing.T) {
	n := serving(t, 1, 2)
	if got := n.floors()[0]; got != ^uint64(0) {
		t.Fatalf("floor %x before the log was read", got)
	}
	half := n.cfg.TombstoneNanos / 2
	for i := range int64(40) {
		now := 10*ms + i*half/10
		n.Step(now, Appended{Shard: 0, Upto: Version(1, uint64(i+1)), Bytes: 1, BornNanos: now})
		n.Step(now, LogRead{Shard: 0, AtNanos: now})
		if floor := n.floors()[0]; i >= 12 && (floor < Version(1, uint64(i-9)) || floor > Version(1, uint64(i-7))) {
			t.Fatalf("after %d tenths of half a life the floor is %x", i, floor)
		}
	}
	n.Step(n.now, DataPlane{})
	n.Step(n.now, DataPlane{Up: true, SinceNanos: n.now})
	if got := n.floors()[0]; got != ^uint64(0) {
		t.Fatalf("floor %x though the tombstones are gone", got)
	}
}

// A short repair needs every delete since to be remembered by the leader.
func TestShortRepairNeedsTheFloor(t *testing.T) {
	for floor, short := range map[uint64]bool{Version(1, 4): true, Version(1, 6): false} {
		n, ranges := following(t)
		in := n.ins[2]
		in.have, in.applied, in.received = ranges, []uint64{Version(1, 5)}, []uint64{Version(1, 5)}
		n.Step(5*ms, Received{2, Start{Epoch: 1, Life: 7, From: []uint64{Version(1, 9)}, Have: ranges, Reset: true}})
		got := messages[Ready](n.Step(6*ms, Received{2, Begin{Epoch: 1, ID: 9, Ranges: ranges, Floor: []uint64{floor}}}))
		if len(got) != 1 || (got[0].Above != nil) != short {
			t.Errorf("floor %x: %+v", floor, got)
		}
	}
}

// What an earlier leader sent and the data plane has not taken is in no log: a scan
// must not overtake it.
func TestScanWaitsForWhatEarlierLeadersSent(t *testing.T) {
	n, _ := following(t)
	n.Step(5*ms, Received{2, Batch{Epoch: 1, Life: 7, After: 0, Upto: 5}})
	n.settleAt = n.ordered // as adopting another ring does
	n.Step(6*ms, Received{2, Resume{Epoch: 1}})
	begins := messages[Begin](n.Step(20*ms, Tick{}))
	if len(begins) != 1 {
		t.Fatal("no repair")
	}
	if got := find[Scan](n.Step(21*ms, Received{2, Ready{Epoch: 1, ID: begins[0].ID, StampNanos: 1}})); len(got) != 0 {
		t.Fatal("scanned before the batch was taken")
	}
	n.Step(22*ms, Applied{From: 2, Life: 7, Shard: 0, Upto: 5})
	if got := find[Scan](n.Step(30*ms, Tick{})); len(got) != 1 {
		t.Fatal("never scanned")
	}
}

// A Start that answers positions of before the last batches were taken would bring them
// again, when their deletes may be forgotten.
func TestOldStartIsNotTaken(t *testing.T) {
	n, _ := following(t)
	n.Step(5*ms, Received{2, Batch{Epoch: 1, Life: 7, After: 0, Upto: 5}})
	n.Step(6*ms, Received{2, Open{Epoch: 1, Life: 7, Spans: []Span{{0, 5}}}})
	n.Step(7*ms, Applied{From: 2, Life: 7, Shard: 0, Upto: 5})
	if got := messages[Redo](n.Step(8*ms, Received{2, Start{Epoch: 1, Life: 7, From: []uint64{0}}})); len(got) != 1 {
		t.Fatal("taken")
	}
	if n.ins[2].started {
		t.Fatal("streams from before what it has")
	}
}

// A part that was applied when deletes since its reading could be forgotten is not
// counted as had.
func TestPartThatLayTooLongIsAskedForAgain(t *testing.T) {
	n, ranges := following(t)
	n.Step(5*ms, Received{2, Begin{Epoch: 1, ID: 9, Ranges: ranges, Floor: []uint64{0}}})
	n.Step(6*ms, Received{2, Part{Epoch: 1, ID: 9, StampNanos: 5 * ms, Last: true}})
	got := n.Step(6*ms+n.cfg.TombstoneNanos, PartApplied{From: 2, ID: 9})
	if len(messages[PartAck](got)) != 0 || len(messages[Redo](got)) != 1 || len(n.ins[2].have) != 0 {
		t.Fatal("it counts as had")
	}
}

// The rest of a range's writes that comes after the new leader has begun would be in no
// log: the old leader is told, and keeps it to itself.
func TestLateRestOfAnOldLeaderIsNotTaken(t *testing.T) {
	n := serving(t, 1, 2)
	n.Step(2*ms, LinkUp{2})
	n.farewells[2] = &farewell{epoch: 1, ranges: n.rec.ledBy(2), until: n.patient + farewellLongest}
	n.setOutbound()
	if n.outs[2].ranges.Equal(n.outs[2].current) {
		t.Fatal("the farewell adds nothing")
	}
	n.Step(3*ms, Received{2, Resume{Epoch: 1}})
	if n.farewells[2] != nil || !n.outs[2].ranges.Equal(n.outs[2].current) {
		t.Fatal("it still sends the rest")
	}
}
