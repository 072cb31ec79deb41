package ring

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// slowPreference is the definition of the order of preference: all placed members as
// their points are met clockwise from the hash, dealt out by zone.
func slowPreference(members []Member, hash uint64) []*Member {
	type met struct {
		distance uint64 // clockwise
		place    uint64
		m        *Member
	}
	var points []met
	for i := range members {
		m := &members[i]
		for n := range uint32(m.pointCount()) {
			if place := pointPlace(m.ID, n); m.State.Placed() {
				points = append(points, met{place - hash, place, m})
			}
		}
	}
	slices.SortStableFunc(points, func(a, b met) int {
		if a.distance != b.distance {
			return map[bool]int{true: -1, false: 1}[a.distance < b.distance]
		}
		return map[bool]int{true: -1, false: 1}[a.m.ID < b.m.ID]
	})
	var zones []string
	inZone, seen := map[string][]*Member{}, map[uint64]bool{}
	for _, p := range points {
		if seen[p.m.ID] {
			continue
		}
		seen[p.m.ID] = true
		if len(inZone[p.m.Zone]) == 0 {
			zones = append(zones, p.m.Zone)
		}
		inZone[p.m.Zone] = append(inZone[p.m.Zone], p.m)
	}
	var order []*Member
	for round := range members {
		for _, zone := range zones {
			if round < len(inZone[zone]) {
				order = append(order, inZone[zone][round])
			}
		}
	}
	return order
}

func slowReplicas(spec Spec, hash uint64) []uint64 {
	count := int(spec.Replicas)
	if count == 0 {
		count = DefaultReplicas
	}
	list := []uint64{}
	for _, m := range slowPreference(spec.Members, hash) {
		if m.State.Serves() && len(list) < count {
			list = append(list, m.ID)
		}
	}
	return list
}

func TestReplicasAreTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := genSpec(t)
		r := mustBuild(t, spec)
		for range 4 {
			hash := genHash(t, r)
			got, want := ids(r.Replicas(hash, nil)), slowReplicas(spec, hash)
			if !slices.Equal(got, want) {
				t.Fatalf("replicas of %016x are %x, want %x", hash, got, want)
			}
			if leader := r.Owner(hash); leader == nil != (len(want) == 0) || leader != nil && leader.ID != want[0] {
				t.Fatalf("owner of %016x is %v, want the first of %x", hash, leader, want)
			}
		}
	})
}

func TestReplicasAreInDistinctZones(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := genSpec(t)
		zones := map[string]bool{}
		for i := range spec.Members {
			spec.Members[i].State = Active
			zones[spec.Members[i].Zone] = true
		}
		r := mustBuild(t, spec)
		seen := map[string]bool{}
		for _, m := range r.Replicas(genHash(t, r), nil) {
			seen[m.Zone] = true
		}
		if want := min(r.ReplicaCount(), len(zones)); len(seen) != want {
			t.Fatalf("%d zones, want %d", len(seen), want)
		}
	})
}

// TestFailureMovesNothingElse: whoever is down already, when one more goes down each
// replica set loses it, keeps the order of the others and gains at most one at the
// end. So the leader's place goes to the first follower.
func TestFailureMovesNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := genSpec(t)
		before := mustBuild(t, spec)
		failed := rapid.SampledFrom(before.Members()).Draw(t, "failed")
		spec.Members = slices.Clone(before.Members())
		at, _ := before.index(failed.ID)
		if failed.State == Joining {
			return
		}
		spec.Members[at].State = Down
		after := mustBuild(t, spec)
		for range 4 {
			hash := genHash(t, before)
			was := ids(before.Replicas(hash, nil))
			kept := slices.DeleteFunc(slices.Clone(was), func(id uint64) bool { return id == failed.ID })
			now := ids(after.Replicas(hash, nil))
			if len(now) > len(was) || !slices.Equal(now[:len(kept)], kept) {
				t.Fatalf("%x went down: replicas of %016x were %x, are %x", failed.ID, hash, was, now)
			}
		}
	})
}

// TestFailureIsSpread: the ranges of a member that went down go to many.
func TestFailureIsSpread(t *testing.T) {
	spec := manyMembers(t, 100).Spec()
	spec.Members[0].State = Down
	after, err := Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	if worst := after.Stats().MaxOverMean; worst > 1.2 {
		t.Errorf("after one of 100 went down a member has %.3f of the mean", worst)
	}
}

// TestZoneLossIsSpread: with a third of the members down no survivor has much more
// than its half more.
func TestZoneLossIsSpread(t *testing.T) {
	spec := manyMembers(t, 300).Spec()
	for i := range spec.Members {
		if spec.Members[i].Zone == "a" {
			spec.Members[i].State = Down
		}
	}
	after, err := Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	if worst := after.Stats().MaxOverMean; worst > 1.25 {
		t.Errorf("after a zone went down a member has %.3f of the mean", worst)
	}
}

func TestSpread(t *testing.T) {
	r := build(t, member(1, 1), member(2, 1), member(3, 1))
	const hash = 12345
	set := r.Replicas(hash, nil)
	for _, c := range []struct {
		name             string
		leader, follower float64
		mean             float64
		want             int
	}{
		{"calm: the leader", 1, 0, 1, 0},
		{"at the bound: the follower", 1.25, 0.5, 1, 1},
		{"both at the bound: the less loaded", 3, 2, 1, 1},
		{"both at the bound, the leader less", 2, 3, 1, 0},
		{"nothing is loaded: the leader", 0, 0, 0, 0},
	} {
		load := func(id uint64) float64 {
			if id == set[0].ID {
				return c.leader
			}
			return c.follower
		}
		if got := r.Spread(hash, load, c.mean, 0); got != set[c.want] {
			t.Errorf("%s: took %x of %x", c.name, got.ID, ids(set))
		}
	}
}

// TestSpreadBoundsTheLoad sends everything for one hot key.
func TestSpreadBoundsTheLoad(t *testing.T) {
	r := build(t, member(1, 1), member(2, 1))
	loads := map[uint64]float64{}
	load := func(id uint64) float64 { return loads[id] }
	for range 10_000 {
		loads[r.Spread(77, load, r.MeanLoad(load), 0).ID]++
	}
	for id, l := range loads {
		if l > LoadBound*5_000+1 {
			t.Errorf("member %d took %v of 10000", id, l)
		}
	}
}
