package ring

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestNextEndsEveryChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := mustBuild(t, genSpec(t))
		next := r.Next()
		var want []uint64
		for _, m := range r.Members() {
			if m.State.Stays() {
				want = append(want, m.ID)
			}
		}
		if next == nil {
			if len(want) != 0 {
				t.Fatalf("no next ring, want one of %x", want)
			}
			return
		}
		var got []uint64
		for _, m := range next.Members() {
			if got = append(got, m.ID); m.State != Active {
				t.Fatalf("%x is %v", m.ID, m.State)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("next has %x, want %x", got, want)
		}
		if next.Epoch() != min(r.Epoch()+1, MaxEpoch) || next.ReplicaCount() != r.ReplicaCount() {
			t.Fatal("epoch or replica count")
		}
		if again := next.Next(); !slices.Equal(again.sets, next.sets) {
			t.Fatal("a ring without changes has another next ring")
		}
	})
}

func TestNextWithLeavesOthersAlone(t *testing.T) {
	spec := manyMembers(t, 9).Spec()
	spec.Members[0].State, spec.Members[1].State, spec.Members[2].State = Leaving, Down, Returning
	r, err := Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	next := r.NextWith(func(m *Member) bool { return m.State == Leaving })
	if len(next.Members()) != 8 || next.Members()[0].State != Down || next.Members()[1].State != Returning {
		t.Error("changes that were not done were made")
	}
	if back := r.NextWith(func(m *Member) bool { return m.State == Returning }); back.Member(spec.Members[2].ID).State != Active {
		t.Error("a change that was done was not made")
	}
}

// TestReturningRestores: a member that went down and comes back has its old ranges.
func TestReturningRestores(t *testing.T) {
	before := manyMembers(t, 20)
	spec := before.Spec()
	spec.Members[3].State = Returning
	r, err := Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	if moves := Diff(before, r.Next()); len(moves) != 0 {
		t.Errorf("%d ranges are not as before, the first %+v", len(moves), moves[0])
	}
}

func TestDiffIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := mustBuild(t, genSpec(t))
		spec := old.Spec()
		for i := range spec.Members {
			if rapid.IntRange(0, 3).Draw(t, "change") == 0 {
				spec.Members[i].State = State(rapid.IntRange(0, states-1).Draw(t, "state"))
			}
		}
		if rapid.Bool().Draw(t, "join") {
			spec.Members = append(spec.Members, member(1<<50, 1))
		}
		next := mustBuild(t, spec)
		moves := Diff(old, next)
		for i, m := range moves {
			if m.Range.From > m.Range.To || i > 0 && moves[i-1].Range.To >= m.Range.From || slices.Equal(m.From, m.To) {
				t.Fatalf("move %d, %+v, is out of order or none", i, m)
			}
		}
		for range 4 {
			hash := genHash(t, next)
			was, is := ids(old.Replicas(hash, nil)), ids(next.Replicas(hash, nil))
			at := slices.IndexFunc(moves, func(m Move) bool { return m.Contains(hash) })
			if (at < 0) != slices.Equal(was, is) {
				t.Fatalf("replicas of %016x were %x and are %x, move %d", hash, was, is, at)
			}
			if at >= 0 && (!slices.Equal(moves[at].From, was) || !slices.Equal(moves[at].To, is)) {
				t.Fatalf("replicas of %016x were %x and are %x, move %+v", hash, was, is, moves[at])
			}
		}
	})
}

func TestMoveNamesGainersAndLosers(t *testing.T) {
	m := Move{From: []uint64{1, 2}, To: []uint64{2, 3}}
	if !m.LeaderChanged() || !slices.Equal(m.Gaining(nil), []uint64{3}) || !slices.Equal(m.Losing(nil), []uint64{1}) {
		t.Errorf("%+v: %v %v", m, m.Gaining(nil), m.Losing(nil))
	}
	if (&Move{From: []uint64{1, 2}, To: []uint64{1, 3}}).LeaderChanged() {
		t.Error("the leader did not change")
	}
}

func TestRangesCoverAndAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := mustBuild(t, genSpec(t))
		from, last := uint64(0), []uint64(nil)
		for g, set := range r.Arcs() {
			if g.From != from || g.To < g.From || from != 0 && slices.Equal(set, last) {
				t.Fatalf("range %x after %x, set %x after %x", g, from, set, last)
			}
			from, last = g.To+1, slices.Clone(set)
		}
		if from != 0 {
			t.Fatalf("the ranges end before %x", from)
		}
		m, hash := rapid.SampledFrom(r.Members()).Draw(t, "member"), genHash(t, r)
		set := ids(r.Replicas(hash, nil))
		in := func(ranges []Range) bool {
			return slices.ContainsFunc(ranges, func(g Range) bool { return g.Contains(hash) })
		}
		if in(r.RangesOf(m.ID)) != (slices.Index(set, m.ID) == 0) || in(r.FollowedBy(m.ID)) != (slices.Index(set, m.ID) > 0) ||
			r.Holds(m.ID, hash) != slices.Contains(set, m.ID) {
			t.Fatalf("ranges of %x are wrong at %016x", m.ID, hash)
		}
		followers, leaders := r.Peers(m.ID)
		if len(set) > 1 && set[0] == m.ID && (!slices.Contains(followers, set[1]) || !in(r.RangesBetween(m.ID, set[1]))) {
			t.Fatalf("%x does not know its follower %x", m.ID, set[1])
		}
		if len(set) > 1 && set[1] == m.ID && (!slices.Contains(leaders, set[0]) || !in(r.RangesBetween(set[0], m.ID))) {
			t.Fatalf("%x does not know its leader %x", m.ID, set[0])
		}
	})
}

func TestCorrectIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := genMembers(t)
		once := Correct(members)
		if !slices.Equal(once, Correct(once)) {
			t.Fatal("a second correction changes the first")
		}
		if !slices.Equal(once, Correct(rapid.Permutation(members).Draw(t, "order"))) {
			t.Fatal("another order makes another correction")
		}
		for i := range once { // who serves does not matter
			if once[i].State.Placed() {
				once[i].State = Down
			}
		}
		again := Correct(once)
		for i := range once {
			if once[i].Points != again[i].Points {
				t.Fatal("a failure changes the correction")
			}
		}
	})
}

func TestCorrectChangesPointsOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := genMembers(t)
		before := sortedMembers(members)
		after := Correct(members)
		for i := range after {
			after[i].Points = before[i].Points
		}
		if !slices.Equal(before, after) {
			t.Fatal("something else changed")
		}
	})
}

// TestCorrectFollowsWeight corrects members of mixed weights.
func TestCorrectFollowsWeight(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		var members []Member
		for range 24 {
			members = append(members, member(random.Uint64(), uint8(1+random.IntN(4))))
		}
		r := build(t, Correct(members)...)
		if got := r.Stats().MaxOverMean; got > 1.09 {
			t.Errorf("max/mean is %.4f", got)
		}
		moves := Diff(r, build(t, Correct(append(r.Spec().Members, member(random.Uint64(), 4)))...))
		if len(moves) == 0 {
			t.Error("a join moved nothing")
		}
	}
}

// TestNewRingsHaveRoom: a new ring is evener than it must be, so that the first
// changes need no trimming.
func TestNewRingsHaveRoom(t *testing.T) {
	for _, n := range sizes[1:] {
		if got := manyMembers(t, n).Stats().MaxOverMean; got > 1.0601 {
			t.Errorf("max/mean of %d new members is %.4f", n, got)
		}
	}
}

// TestCorrectSums holds the incremental sums against a ring's.
func TestCorrectSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := genMembers(t)
		for i := range members {
			members[i].State = Active
		}
		b := newBalance(sortedMembers(members))
		if len(b.shares) < 2 {
			return
		}
		for range rapid.IntRange(0, 50).Draw(t, "steps") {
			s := &b.shares[rapid.IntRange(0, len(b.shares)-1).Draw(t, "member")]
			if rapid.Bool().Draw(t, "out") && s.count > 1 {
				b.takeOut(s)
			} else if s.count < len(s.points) {
				b.putIn(s)
			}
		}
		for i := range b.shares {
			b.shares[i].member.Points = uint16(b.shares[i].count)
		}
		spec := Spec{Epoch: 1, Replicas: 1}
		for i := range b.shares {
			spec.Members = append(spec.Members, *b.shares[i].member)
		}
		r := mustBuild(t, spec)
		for i := range b.shares {
			if r.shares[i] != b.shares[i].sum {
				t.Fatalf("member %d: sum %x, the ring says %x", i, b.shares[i].sum, r.shares[i])
			}
		}
	})
}
