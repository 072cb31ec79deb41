package replication

import "testing"

// partitioned is a leader that accepts writes in a partition and once had a renewal.
func partitioned(t *testing.T) *Node {
	t.Helper()
	n := serving(t, 1, 3)
	n.cfg.AcceptPartitioned = true
	n.Step(20*ms, Renewed{Revision: 100, SentNanos: 10 * ms})
	for _, id := range []uint64{2, 3} { // both follow, and have all
		n.Step(20*ms, LinkUp{id})
		n.Step(20*ms, Received{id, Resume{Epoch: 1}})
		n.outs[id].have = n.outs[id].ranges
	}
	return n
}

func TestPartitionedLeaderRefusesByDefault(t *testing.T) {
	n := partitioned(t)
	n.cfg.AcceptPartitioned = false
	if got := find[SetFence](pass(n, 30*ms, 3000*ms, nil)); len(got) != 0 {
		t.Fatalf("the fence moves without a renewal: %v", got)
	}
}

func TestPartitionedLeaderAcceptsAndSaysDegraded(t *testing.T) {
	n := partitioned(t)
	read := func(now int64, _ []Action) { n.Step(now, LogRead{Shard: 0, AtNanos: now}) }
	if got := find[SetFence](pass(n, 30*ms, 390*ms, read)); len(got) != 0 {
		t.Fatalf("accepted before a fence's length of silence after the lapse: %v", got)
	}
	if len(n.said.degraded) != 0 {
		t.Fatal("degraded with both followers in sync")
	}
	degraded := false
	for _, a := range pass(n, 400*ms, 600*ms, read) {
		switch v := a.(type) {
		case SetDegraded:
			degraded = NewRangeSet(v.Ranges).Equal(n.led)
		case SetFence:
			if !degraded && !NewRangeSet(n.said.degraded).Equal(n.led) {
				t.Fatal("acknowledges before it says degraded")
			}
		}
	}
	if got := n.fence.said; got < 600*ms {
		t.Fatalf("fence at %d ms, want it ahead of 600", got/ms)
	}
}

// Whoever hears that the ring is another is not cut off: it stops at once.
func TestPartitionEndsWithARefusal(t *testing.T) {
	n := partitioned(t)
	pass(n, 30*ms, 600*ms, nil)
	n.Step(605*ms, RenewRefused{Revision: 100})
	if got := lastFence(n.Step(610*ms, Tick{})); got != 0 {
		t.Fatalf("fence %d after the refusal, want none", got)
	}
	if got := find[SetFence](pass(n, 620*ms, 3000*ms, nil)); len(got) != 0 {
		t.Fatalf("it accepts again: %v", got)
	}
}

// A process that wakes from a stall hears what happened before it accepts anything.
func TestStallIsNoPartition(t *testing.T) {
	n := partitioned(t)
	n.Step(30*ms, Tick{})
	if got := find[SetFence](pass(n, 20_000*ms, 20_150*ms, nil)); len(got) != 0 {
		t.Fatalf("accepted on waking: %v", got)
	}
}

func TestRenewalEndsThePartition(t *testing.T) {
	n := partitioned(t)
	pass(n, 30*ms, 600*ms, nil)
	if got := lastFence(n.Step(605*ms, Renewed{Revision: 100, SentNanos: 590 * ms})); got != 790*ms || n.fence.alone {
		t.Fatalf("fence at %d ms, want 790; alone: %v", got/ms, n.fence.alone)
	}
}
