package replication

import (
	"testing"

	"gannet/ring"
)

const ms = int64(1e6)

// newTestNode is a node with its items, of one shard.
func newTestNode(t testing.TB, self uint64) *Node {
	t.Helper()
	n, err := NewNode(Config{}, Origin{Self: self, Life: 10 + self, Shards: 1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	n.Step(0, DataPlane{Up: true, Cold: true})
	n.Step(0, LogAt{Shard: 0})
	return n
}

// serving is a node that serves epoch 1 with others, all of which began blank.
func serving(t testing.TB, self uint64, members int) *Node {
	n := newTestNode(t, self)
	rec := NewRecord(testRing(t, 1, make([]ring.State, members)...), 100, nil)
	rec.Blank = []uint64{n.life}
	n.Step(1*ms, RecordSeen{Record: rec, Linear: true})
	return n
}

func find[A Action](actions []Action) (found []A) {
	for _, a := range actions {
		if v, ok := a.(A); ok {
			found = append(found, v)
		}
	}
	return found
}

func lastFence(actions []Action) int64 {
	if all := find[SetFence](actions); len(all) > 0 {
		return all[len(all)-1].Nanos
	}
	return -1
}

// pass lets time go by in ticks, with what a tick wants given to also.
func pass(n *Node, from, to int64, also func(now int64, actions []Action)) (all []Action) {
	for now := from; now <= to; now += 10 * ms {
		actions := append([]Action(nil), n.Step(now, Tick{})...)
		all = append(all, actions...)
		if also != nil {
			also(now, actions)
		}
	}
	return all
}

func TestFenceCountsFromWhenTheRenewalWasSent(t *testing.T) {
	n := serving(t, 1, 3)
	got := lastFence(n.Step(150*ms, Renewed{Revision: 100, SentNanos: 20 * ms}))
	if want := 220 * ms; got != want {
		t.Fatalf("fence at %d ms, want %d", got/ms, want/ms)
	}
	if got := lastFence(n.Step(160*ms, Renewed{Revision: 99, SentNanos: 150 * ms})); got != -1 {
		t.Fatalf("a renewal of another ring moved the fence to %d ms", got/ms)
	}
}

// Whoever leaves in order answers the writes that its data plane is at; then it
// acknowledges nothing any more.
func TestWhoLeavesKeepsItsFenceUntilTheLastAnswer(t *testing.T) {
	n := newTestNode(t, 1)
	before := testRing(t, 1, ring.Leaving, ring.Active, ring.Active)
	rec := NewRecord(before, 100, nil)
	rec.Blank = []uint64{n.life}
	n.Step(1*ms, RecordSeen{Record: rec, Linear: true})
	n.Step(30*ms, Renewed{Revision: 100, SentNanos: 20 * ms})
	after := NewRecord(before.Next(), 101, nil)
	if after.Ring.Member(1) != nil || after.Epoch() != 2 {
		t.Fatal("the next ring is not the one without it")
	}
	actions := append([]Action(nil), n.Step(40*ms, RecordSeen{Record: after, Linear: true})...)
	actions = append(actions, pass(n, 50*ms, 80*ms, nil)...)
	if got := lastFence(actions); got != -1 {
		t.Fatalf("the fence was moved to %d ms while writes were answered", got/ms)
	}
	actions = append([]Action(nil), n.Step(90*ms, Drained{Epoch: 2})...)
	actions = append(actions, pass(n, 100*ms, 150*ms, nil)...)
	if got := lastFence(actions); got != 0 {
		t.Fatalf("the fence is at %d after the last answer, want 0", got)
	}
}

func TestMajorityOfGrantsMovesTheFence(t *testing.T) {
	n := serving(t, 1, 5)
	pass(n, 10*ms, 200*ms, nil) // etcd says nothing, so members are asked
	if got := lastFence(n.Step(201*ms, Received{2, Grant{Epoch: 1, SentNanos: 170 * ms}})); got != -1 {
		t.Fatalf("two of five moved the fence to %d ms", got/ms)
	}
	if got := lastFence(n.Step(202*ms, Received{3, Grant{Epoch: 1, SentNanos: 160 * ms}})); got != 360*ms {
		t.Fatalf("three of five moved the fence to %d ms, want 360", got/ms)
	}
	if got := lastFence(n.Step(203*ms, Received{4, Grant{Epoch: 2, SentNanos: 200 * ms}})); got != -1 {
		t.Fatal("a grant of another epoch counted")
	}
}

func TestEtcdsAnswerSparesTheMembers(t *testing.T) {
	n := serving(t, 1, 3)
	all := pass(n, 10*ms, 600*ms, func(now int64, actions []Action) {
		for _, r := range find[Renew](actions) {
			n.Step(now+ms, Renewed{Revision: r.Revision, SentNanos: now})
		}
	})
	for _, s := range find[Send](all) {
		if _, ok := s.Message.(GrantAsk); ok {
			t.Fatal("grants were asked while etcd answered")
		}
	}
}

func TestClockThatRunsBackwardsLosesTheFence(t *testing.T) {
	n := serving(t, 1, 3)
	n.Step(150*ms, Renewed{Revision: 100, SentNanos: 140 * ms})
	if got := lastFence(n.Step(100*ms, Heard{From: 2, Over: Chatter})); got != 0 {
		t.Fatalf("fence %d, want none", got)
	}
}

func accusations(actions []Action) (list []Accusation) {
	for _, s := range find[Send](actions) {
		if r, ok := s.Message.(Report); ok {
			list = append(list, r.Accused...)
		}
	}
	return list
}

func TestSilenceNeedsBothDetectorsAnd700ms(t *testing.T) {
	for _, alive := range []Detector{DataPath, Chatter} {
		n := serving(t, 1, 2)
		all := pass(n, 10*ms, 3000*ms, func(now int64, _ []Action) { n.Step(now, Heard{From: 2, Over: alive}) })
		if got := accusations(all); len(got) != 0 {
			t.Errorf("with detector %d hearing: %v", alive, got)
		}
	}
	n := serving(t, 1, 2)
	if got := accusations(pass(n, 10*ms, 700*ms, nil)); len(got) != 0 {
		t.Fatalf("accused within 700 ms: %v", got)
	}
	if got := accusations(pass(n, 710*ms, 1500*ms, nil)); len(got) == 0 || got[0].Sign != Silence {
		t.Fatalf("after 1.5 s: %v", got)
	}
}

func TestStallOfThisProcessIsNoSilence(t *testing.T) {
	n := serving(t, 1, 2)
	n.Step(20*ms, Tick{})
	if got := accusations(n.Step(5000*ms, Tick{})); len(got) != 0 {
		t.Fatalf("after a stall of its own: %v", got)
	}
}

func TestResetAndRefusedPortAccuseAtOnce(t *testing.T) {
	n := serving(t, 1, 2)
	n.Step(20*ms, Traced{Of: 2, Sign: ConnectionReset})
	if got := accusations(n.Step(30*ms, Tick{})); len(got) != 0 {
		t.Fatalf("a reset alone: %v", got)
	}
	n.Step(40*ms, Traced{Of: 2, Sign: PortUnreachable})
	if got := accusations(n.Step(50*ms, Tick{})); len(got) != 1 || got[0].Sign != Refused {
		t.Fatalf("both: %v", got)
	}
}

func TestGrantAndEvidenceExcludeEachOther(t *testing.T) {
	n := serving(t, 1, 3)
	n.Step(20*ms, Received{2, GrantAsk{Epoch: 1, SentNanos: 7}})
	n.Step(30*ms, Traced{Of: 2, Sign: ConnectionReset})
	n.Step(30*ms, Traced{Of: 2, Sign: PortUnreachable})
	if got := accusations(pass(n, 40*ms, 230*ms, nil)); len(got) != 0 {
		t.Fatalf("accused %v while the grant stood", got)
	}
	if got := accusations(pass(n, 240*ms, 300*ms, nil)); len(got) == 0 {
		t.Fatal("not accused after the grant had lapsed")
	}
	for _, s := range find[Send](n.Step(310*ms, Received{2, GrantAsk{Epoch: 1, SentNanos: 8}})) {
		if _, ok := s.Message.(Grant); ok {
			t.Fatal("granted after its own evidence")
		}
	}
}

func TestEvidenceSurvivesTheProcess(t *testing.T) {
	n := serving(t, 1, 3)
	n.Step(30*ms, Traced{Of: 2, Sign: ConnectionReset})
	n.Step(30*ms, Traced{Of: 2, Sign: PortUnreachable})
	states := find[Remember](n.Step(40*ms, Tick{}))
	next, err := NewNode(Config{}, Origin{Self: 1, Life: 99, Shards: 1, Remembered: states[0].State}, 50*ms)
	if err != nil {
		t.Fatal(err)
	}
	next.Step(50*ms, DataPlane{Up: true})
	next.Step(50*ms, RecordSeen{Record: n.rec, Linear: true})
	for _, s := range find[Send](next.Step(60*ms, Received{2, GrantAsk{Epoch: 1, SentNanos: 8}})) {
		if _, ok := s.Message.(Grant); ok {
			t.Fatal("granted against the evidence of the process before")
		}
	}
}

// The whole way of a promotion, seen from the follower: the ranges are held for a
// fence, then free.
func TestNewLeaderWaitsTheFenceOut(t *testing.T) {
	n := serving(t, 1, 2)
	down := NewRecord(testRing(t, 2, ring.Active, ring.Down), 101, []uint64{1, 2})
	held := find[SetHeld](n.Step(1000*ms, RecordSeen{Record: down}))
	if len(held) == 0 || len(held[0].Ranges) == 0 {
		t.Fatal("a gained range is not held")
	}
	all := find[SetHeld](pass(n, 1010*ms, 1200*ms, nil))
	if len(all) != 0 {
		t.Fatalf("within the fence: %v", all)
	}
	all = find[SetHeld](pass(n, 1210*ms, 1300*ms, nil))
	if len(all) != 1 || len(all[0].Ranges) != 0 {
		t.Fatalf("after the fence: %v", all)
	}
}

func TestBatchOfAnotherEpochIsNotApplied(t *testing.T) {
	n := serving(t, 1, 2)
	n.Step(2*ms, LinkUp{2})
	n.Step(3*ms, Received{2, Open{Epoch: 1, Life: 7, Spans: []Span{{0, 0}}}})
	n.Step(4*ms, Received{2, Start{Epoch: 1, Life: 7, From: []uint64{0}}})
	for _, b := range []Batch{
		{Epoch: 2, Life: 7, After: 0, Upto: 5},
		{Epoch: 0, Life: 7, After: 0, Upto: 5},
		{Epoch: 1, Life: 8, After: 0, Upto: 5},
	} {
		if got := find[Apply](n.Step(5*ms, Received{2, b})); len(got) != 0 {
			t.Errorf("applied %+v", b)
		}
	}
	if got := find[Apply](n.Step(6*ms, Received{2, Batch{Epoch: 1, Life: 7, After: 0, Upto: 5}})); len(got) != 1 {
		t.Error("a good batch was not applied")
	}
	if got := find[Apply](n.Step(7*ms, Received{2, Batch{Epoch: 1, Life: 7, After: 6, Upto: 9}})); len(got) != 0 {
		t.Error("a batch after a gap was applied")
	}
}

func TestAcknowledgementsAreDegradedWithoutAFollower(t *testing.T) {
	n := serving(t, 1, 2)
	n.Step(5*ms, LogRead{Shard: 0, AtNanos: 5 * ms})
	if !NewRangeSet(n.said.degraded).Equal(n.led) {
		t.Fatal("not all degraded before a follower is there")
	}
	n.Step(6*ms, LinkUp{2})
	all := n.Step(7*ms, Received{2, Resume{Epoch: 1, Life: 0}})
	if starts := find[Send](all); len(starts) == 0 {
		t.Fatal("no start")
	}
	begin := find[Send](n.Step(10*ms, Tick{}))
	var id uint64
	for _, s := range begin {
		if b, ok := s.Message.(Begin); ok {
			id = b.ID
		}
	}
	n.Step(11*ms, Received{2, Ready{Epoch: 1, ID: id, StampNanos: 1}})
	n.Step(12*ms, Scanned{To: 2, ID: id, Last: true})
	n.Step(13*ms, LogRead{Shard: 0, AtNanos: 13 * ms})
	done := n.Step(14*ms, Received{2, PartAck{Epoch: 1, ID: id, Number: 0}})
	if d := find[SetDegraded](done); len(d) != 1 || len(d[0].Ranges) != 0 {
		t.Fatalf("after the repair: %v", d)
	}
	n.Step(20*ms, Appended{Shard: 0, Upto: Version(1, 1), Bytes: 10, BornNanos: 19 * ms})
	late := pass(n, 30*ms, 120*ms, func(now int64, _ []Action) { n.Step(now, LogRead{Shard: 0, AtNanos: now}) })
	if d := find[SetDegraded](late); len(d) != 1 || len(d[0].Ranges) == 0 {
		t.Fatalf("after a write that nobody acknowledged for 100 ms: %v", d)
	}
}
