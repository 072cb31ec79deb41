package ring

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func member(id uint64, weight uint8) Member {
	return Member{
		ID: id, Name: "n", Weight: weight, Shards: 2,
		Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(id >> 8), byte(id)}), 9800),
	}
}

func genMembers(t *rapid.T) []Member {
	ids := rapid.SliceOfNDistinct(rapid.Uint64Range(1, 1<<40), 1, 12, rapid.ID[uint64]).Draw(t, "ids")
	members := make([]Member, len(ids))
	for i, id := range ids {
		m := member(id, uint8(rapid.IntRange(1, 4).Draw(t, "weight")))
		m.Name = rapid.StringN(0, 15, maxNameBytes).Draw(t, "name")
		m.Zone = rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "zone")
		m.State = State(rapid.IntRange(0, states-1).Draw(t, "state"))
		m.Points = rapid.SampledFrom([]uint16{0, 0, 1, 200, 300}).Draw(t, "points")
		if rapid.Bool().Draw(t, "v6") {
			a := netip.MustParseAddr("fd00::1").As16()
			a[15] = byte(i)
			m.Addr = netip.AddrPortFrom(netip.AddrFrom16(a), 9800)
			m.Control = netip.AddrPortFrom(m.Addr.Addr(), 9741)
			m.Gossip = netip.AddrPortFrom(m.Addr.Addr(), 9742)
		}
		members[i] = m
	}
	return members
}

func genSpec(t *rapid.T) Spec {
	return Spec{
		Epoch:    rapid.Uint32Range(1, MaxEpoch).Draw(t, "epoch"),
		Replicas: uint8(rapid.IntRange(0, 4).Draw(t, "replicas")),
		Members:  genMembers(t),
	}
}

// genHash often draws a place, where the mistakes are.
func genHash(t *rapid.T, r *Ring) uint64 {
	if len(r.places) > 0 && rapid.Bool().Draw(t, "at a point") {
		off := rapid.SampledFrom([]uint64{0, 1, ^uint64(0)}).Draw(t, "off")
		return r.places[rapid.IntRange(0, len(r.places)-1).Draw(t, "point")] + off
	}
	return rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, ^uint64(0)})).Draw(t, "hash")
}

func build(t testing.TB, members ...Member) *Ring {
	t.Helper()
	r, err := New(1, members)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustBuild(t *rapid.T, spec Spec) *Ring {
	r, err := Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func ids(members []*Member) []uint64 {
	list := []uint64{}
	for _, m := range members {
		list = append(list, m.ID)
	}
	return list
}

func TestOwnerPastTheLastPointWraps(t *testing.T) {
	r := build(t, member(1, 1), member(2, 1))
	if got, want := r.Owner(^uint64(0)).ID, r.members[r.owners[0]].ID; got != want {
		t.Fatalf("owner of the last hash is %d, want the first point's %d", got, want)
	}
}

func TestOrderOfMembersDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := genSpec(t)
		a := mustBuild(t, spec)
		spec.Members = rapid.Permutation(spec.Members).Draw(t, "order")
		b := mustBuild(t, spec)
		if !slices.Equal(a.places, b.places) || !slices.Equal(a.sets, b.sets) || !slices.Equal(a.members, b.members) {
			t.Fatal("another order made another ring")
		}
	})
}

func TestNobodyServes(t *testing.T) {
	joining, down := member(1, 1), member(2, 1)
	joining.State, down.State = Joining, Down
	for _, members := range [][]Member{{joining}, {joining, down}} {
		r := build(t, members...)
		if r.Owner(7) != nil || r.Owns(1, 7) || r.Holds(1, 7) || len(r.Replicas(7, nil)) != 0 ||
			r.Spread(7, func(uint64) float64 { return 0 }, 0, 0) != nil || r.Share(1) != 0 ||
			len(r.RangesOf(1)) != 0 || r.Stats().MaxOverMean != 0 {
			t.Errorf("a ring of %v has an owner", members[len(members)-1].State)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	with := func(change func(*Member)) []Member {
		m := member(1, 1)
		change(&m)
		return []Member{m}
	}
	long := string(make([]byte, maxNameBytes+1))
	for name, bad := range map[string][]Member{
		"none": nil, "id 0": {member(0, 1)}, "twice": {member(1, 1), member(1, 1)},
		"weight 0": {member(1, 0)}, "weight 65": {member(1, 65)},
		"no address":      with(func(m *Member) { m.Addr = netip.AddrPort{} }),
		"address nowhere": with(func(m *Member) { m.Addr = netip.MustParseAddrPort("[::]:0") }),
		"scoped gossip":   with(func(m *Member) { m.Gossip = netip.MustParseAddrPort("[fe80::1%eth0]:1") }),
		"port alone":      with(func(m *Member) { m.Control = netip.AddrPortFrom(netip.Addr{}, 9741) }),
		"no shards":       with(func(m *Member) { m.Shards = 0 }),
		"unknown state":   with(func(m *Member) { m.State = states }),
		"points":          with(func(m *Member) { m.Points = maxPoints + 1 }),
		"long name":       with(func(m *Member) { m.Name = long }),
		"long zone":       with(func(m *Member) { m.Zone = long }),
		"too many":        make([]Member, MaxMembers+1),
	} {
		if _, err := New(1, bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, epoch := range []uint32{0, MaxEpoch + 1} {
		if _, err := New(epoch, []Member{member(1, 1)}); !errors.Is(err, ErrEpoch) {
			t.Errorf("epoch %d: %v", epoch, err)
		}
	}
	if _, err := Build(Spec{Epoch: 1, Replicas: MaxReplicas + 1, Members: []Member{member(1, 1)}}); !errors.Is(err, ErrReplicas) {
		t.Errorf("replicas: %v", err)
	}
}

// TestPlacesAreFixed holds the points' places, which all nodes and clients of a
// cluster must agree on whatever their version.
func TestPlacesAreFixed(t *testing.T) {
	for _, c := range []struct {
		id    uint64
		n     uint32
		place uint64
	}{
		{1, 0, 0x785f21fd6d4b4912}, {1, 255, 0xb9eba451a64f71c7}, {0xDEADBEEF, 7, 0xba9f7c1f74765fe8},
	} {
		if got := pointPlace(c.id, c.n); got != c.place {
			t.Errorf("point %d of member %x is at %#016x, want %#016x", c.n, c.id, got, c.place)
		}
	}
}

func TestStatesHaveNames(t *testing.T) {
	for s := range State(states) {
		if got, err := ParseState(s.String()); err != nil || got != s {
			t.Errorf("state %d is written %q and read as %d, %v", s, s, got, err)
		}
	}
	if _, err := ParseState(State(states).String()); err == nil {
		t.Error("an unknown state has a name")
	}
}

func TestSharesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := mustBuild(t, genSpec(t))
		sum, want := 0.0, 0.0
		for _, m := range r.Members() {
			share, ranges := r.Share(m.ID), 0.0
			for _, g := range r.RangesOf(m.ID) {
				ranges += g.Share()
			}
			if diff := share - ranges; diff > 1e-9 || diff < -1e-9 {
				t.Fatalf("member %x has a share of %g and ranges of %g", m.ID, share, ranges)
			}
			sum += share
		}
		if r.Owner(0) != nil {
			want = 1
		}
		if sum < want-1e-9 || sum > want+1e-9 {
			t.Fatalf("shares add up to %g, want %g", sum, want)
		}
	})
}

func TestShareFollowsWeight(t *testing.T) {
	r := build(t, member(1, 1), member(2, 3))
	if share := r.Share(2); share < 0.68 || share > 0.82 {
		t.Errorf("a member of weight 3 beside one of weight 1 has %.3f of the hashes, want about 0.75", share)
	}
	random, heavy := rand.New(rand.NewPCG(1, 2)), 0
	const draws = 100_000
	for range draws {
		if r.Owns(2, random.Uint64()) {
			heavy++
		}
	}
	if got := float64(heavy) / draws; got < r.Share(2)-0.01 || got > r.Share(2)+0.01 {
		t.Errorf("owns %.3f of %d hashes, its share is %.3f", got, draws, r.Share(2))
	}
}

func TestLookupsDoNotAllocate(t *testing.T) {
	r := manyMembers(t, 100)
	hash, dst := uint64(0), make([]*Member, 0, 2)
	load := func(uint64) float64 { return 2 }
	n := testing.AllocsPerRun(100, func() {
		hash += r.Owner(hash).ID * 0x9E3779B97F4A7C15
		dst = r.Replicas(hash, dst[:0])
		hash += r.Spread(hash, load, 1, 0).ID
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// manyMembers is a corrected ring of pairs over three zones.
func manyMembers(t testing.TB, n int) *Ring {
	random := rand.New(rand.NewPCG(3, uint64(n)))
	members := make([]Member, n)
	for i := range members {
		members[i] = member(random.Uint64(), 1)
		members[i].Zone = []string{"a", "b", "c"}[i%3]
	}
	return build(t, Correct(members)...)
}

var sizes = []int{3, 16, 100, 500}

func benchmarkLookup(b *testing.B, lookup func(r *Ring, hash uint64) uint64) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			r := manyMembers(b, n)
			b.ReportAllocs()
			hash := uint64(1)
			for b.Loop() {
				hash = lookup(r, hash*0x9E3779B97F4A7C15) ^ hash*0xD1342543DE82EF95
			}
		})
	}
}

func BenchmarkOwner(b *testing.B) {
	benchmarkLookup(b, func(r *Ring, hash uint64) uint64 { return r.Owner(hash).ID })
}

func BenchmarkReplicas(b *testing.B) {
	dst := make([]*Member, 0, 2)
	benchmarkLookup(b, func(r *Ring, hash uint64) uint64 {
		dst = r.Replicas(hash, dst[:0])
		return dst[1].ID
	})
}

func BenchmarkSpread(b *testing.B) {
	load := func(id uint64) float64 { return float64(id & 3) }
	benchmarkLookup(b, func(r *Ring, hash uint64) uint64 { return r.Spread(hash, load, 1.5, 0).ID })
}

func BenchmarkBuild(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			spec := manyMembers(b, n).Spec()
			for b.Loop() {
				if _, err := Build(spec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkNextAndDiff(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			spec := manyMembers(b, n).Spec()
			spec.Members[0].State, spec.Members[0].Points = Joining, 0
			r, err := Build(spec)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				Diff(r, r.Next())
			}
		})
	}
}
