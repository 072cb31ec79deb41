package control

import (
	"testing"

	"gannet/replication"
	"gannet/ring"
)

// testChair has three serving members, of which some can be reached.
func testChair(t *testing.T, self uint64, reached map[uint64]bool) *chair {
	t.Helper()
	spec := ring.Spec{Epoch: 1, Replicas: 2}
	for id := uint64(1); id <= 3; id++ {
		m := testSelf
		m.ID = id
		spec.Members = append(spec.Members, m)
	}
	r, err := ring.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	c := newChair(replication.Config{}, self, 1, quiet)
	c.reaches = func(id uint64, _ int64) bool { return reached[id] }
	c.post(replication.RecordSeen{Record: replication.NewRecord(r, 7, []uint64{1, 2, 3})})
	return c
}

func TestTheDeputyActsForASilentController(t *testing.T) {
	for name, tc := range map[string]struct {
		self, elected uint64
		reached       map[uint64]bool
		want          uint64
	}{
		"the elected one answers":       {3, 2, map[uint64]bool{1: true, 2: true}, 2},
		"it is this node":               {2, 2, nil, 2},
		"it is silent":                  {3, 2, map[uint64]bool{1: true}, 1},
		"it is silent, and so are all":  {3, 2, nil, 3},
		"this node is the deputy":       {1, 2, map[uint64]bool{3: true}, 1},
		"nobody is elected, all answer": {3, 0, map[uint64]bool{1: true, 2: true}, 1},
	} {
		c := testChair(t, tc.self, tc.reached)
		c.elected.Store(tc.elected)
		if got := c.acting(); got != tc.want {
			t.Errorf("%s: %d acts, want %d", name, got, tc.want)
		}
	}
	alone := newChair(replication.Config{}, 1, 1, quiet)
	if got := alone.acting(); got != 0 {
		t.Errorf("without a ring %d acts, before anybody is elected", got)
	}
}

// TestMembersAreFollowedToNewAddresses, but only once the epoch before is closed.
func TestMembersAreFollowedToNewAddresses(t *testing.T) {
	c := testChair(t, 1, nil)
	c.elected.Store(1)
	var swapped []replication.Record
	c.swap = func(rec replication.Record) { swapped = append(swapped, rec) }
	moved := testSelf
	moved.ID, moved.Shards = 2, 5
	c.post(replication.Registered{Members: []replication.Registration{{Member: moved}}})
	c.turn()
	if len(swapped) != 0 {
		t.Fatal("the ring was changed before its predecessor was closed")
	}
	for id := uint64(1); id <= 2; id++ {
		c.post(replication.Reported{Report: replication.Report{From: id, Life: 1, Number: 1, Epoch: 1}})
	}
	c.readdressed = 0
	c.turn()
	if len(swapped) != 1 {
		t.Fatalf("%d changes", len(swapped))
	}
	got := &swapped[0]
	if got.Epoch() != 2 || got.Revision != 7 || got.Ring.Member(2).Shards != 5 || len(got.PrevVoters) != 3 {
		t.Fatalf("epoch %d over revision %d, %+v", got.Epoch(), got.Revision, got.Ring.Member(2))
	}
}
