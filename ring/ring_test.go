package ring

import (
	"errors"
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
		members[i] = member(id, uint8(rapid.IntRange(1, 4).Draw(t, "weight")))
		members[i].Name = rapid.StringN(0, 15, maxNameBytes).Draw(t, "name")
		if rapid.Bool().Draw(t, "v6") {
			a := netip.MustParseAddr("fd00::1").As16()
			a[15] = byte(i)
			members[i].Addr = netip.AddrPortFrom(netip.AddrFrom16(a), 9800)
		}
	}
	return members
}

// slowOwner is the definition: the least place at or after the hash, else the least.
func slowOwner(members []Member, hash uint64) uint64 {
	type best struct {
		place, id uint64
		ok        bool
	}
	var after, first best
	better := func(b *best, place, id uint64) {
		if !b.ok || place < b.place || place == b.place && id < b.id {
			*b = best{place, id, true}
		}
	}
	for _, m := range members {
		for n := range uint32(m.Weight) * PointsPerWeight {
			place := pointPlace(m.ID, n)
			better(&first, place, m.ID)
			if place >= hash {
				better(&after, place, m.ID)
			}
		}
	}
	if after.ok {
		return after.id
	}
	return first.id
}

func TestOwnerIsTheFirstPointClockwise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := genMembers(t)
		r, err := New(1, members)
		if err != nil {
			t.Fatal(err)
		}
		hash := rapid.Uint64().Draw(t, "hash")
		if rapid.Bool().Draw(t, "on a point") {
			hash = r.points[rapid.IntRange(0, len(r.points)-1).Draw(t, "point")].place
		}
		if got, want := r.Owner(hash).ID, slowOwner(members, hash); got != want {
			t.Fatalf("owner of %016x is %016x, want %016x", hash, got, want)
		}
	})
}

func TestOwnerPastTheLastPointWraps(t *testing.T) {
	r, err := New(1, []Member{member(1, 1), member(2, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Owner(^uint64(0)).ID, r.members[r.points[0].member].ID; got != want {
		t.Fatalf("owner of the last hash is %d, want the first point's %d", got, want)
	}
}

func TestOrderOfMembersDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := genMembers(t)
		a, _ := New(3, members)
		shuffled := rapid.Permutation(members).Draw(t, "order")
		b, _ := New(3, shuffled)
		if !slices.Equal(a.points, b.points) || !slices.Equal(a.members, b.members) {
			t.Fatal("another order made another ring")
		}
	})
}

func TestEncodeDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, err := New(rapid.Uint32Range(1, MaxEpoch).Draw(t, "epoch"), genMembers(t))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(r.AppendEncode(nil))
		if err != nil {
			t.Fatal(err)
		}
		if got.Epoch() != r.Epoch() || !slices.Equal(got.Members(), r.Members()) || !slices.Equal(got.points, r.points) {
			t.Fatal("decoded ring differs")
		}
	})
}

func TestDecodeRefusesAnyChangedByte(t *testing.T) {
	r, _ := New(7, []Member{member(1, 1), member(2, 2)})
	good := r.AppendEncode(nil)
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 0x40
		if _, err := Decode(bad); err == nil {
			t.Errorf("byte %d changed: accepted", i)
		}
		if _, err := Decode(good[:i]); err == nil {
			t.Errorf("cut at %d: accepted", i)
		}
	}
	if _, err := Decode(append(slices.Clone(good), 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("trailing byte: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	noAddr, noShards := member(1, 1), member(1, 1)
	noAddr.Addr, noShards.Shards = netip.AddrPort{}, 0
	for name, bad := range map[string][]Member{
		"none": nil, "id 0": {member(0, 1)}, "twice": {member(1, 1), member(1, 1)},
		"weight 0": {member(1, 0)}, "weight 65": {member(1, 65)}, "no address": {noAddr}, "no shards": {noShards},
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

func TestShareFollowsWeight(t *testing.T) {
	r, _ := New(1, []Member{member(1, 1), member(2, 3)})
	random, heavy := rand.New(rand.NewPCG(1, 2)), 0
	const draws = 100_000
	for range draws {
		if r.Owns(2, random.Uint64()) {
			heavy++
		}
	}
	if share := float64(heavy) / draws; share < 0.68 || share > 0.82 {
		t.Errorf("a member of weight 3 beside one of weight 1 has %.3f of the hashes, want about 0.75", share)
	}
}

func TestOwnerDoesNotAllocate(t *testing.T) {
	r, _ := New(1, []Member{member(1, 1), member(2, 1)})
	hash := uint64(0)
	if n := testing.AllocsPerRun(100, func() { hash += r.Owner(hash).ID * 0x9E3779B97F4A7C15 }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkOwner(b *testing.B) {
	var members []Member
	for id := range uint64(200) {
		members = append(members, member(id+1, 1))
	}
	r, _ := New(1, members)
	hash := uint64(0)
	for b.Loop() {
		hash += r.Owner(hash).ID * 0x9E3779B97F4A7C15
	}
}

func FuzzDecode(f *testing.F) {
	r, _ := New(7, []Member{member(1, 1), member(2, 2)})
	f.Add(r.AppendEncode(nil))
	f.Add([]byte("GNRG"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b)
		if err != nil {
			return
		}
		if !slices.Equal(r.AppendEncode(nil), b) {
			t.Fatal("decoded, but encodes otherwise")
		}
		r.Owner(0)
	})
}
