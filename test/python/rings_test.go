package python

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"reflect"
	"testing"

	"gannet/ring"
	"gannet/wire"
)

var update = flag.Bool("update", false, "write wire/testdata/vectors/rings.json anew")

const ringVectors = "../../wire/testdata/vectors/rings.json"

// ringVector is an encoded ring, and who holds what by it.
type ringVector struct {
	Name    string         `json:"name"`
	Encoded string         `json:"encoded"`
	Epoch   uint32         `json:"epoch"`
	Members []memberVector `json:"members"`
	// Holders are the names of the members that hold a hash, the leader first.
	Holders []holdersVector `json:"holders"`
}

type memberVector struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Zone  string `json:"zone"`
	State string `json:"state"`
	Host  string `json:"host"`
	Port  uint16 `json:"port"`
	// Shards and points as they count: 256 times the weight where the encoding has 0.
	Shards uint16 `json:"shards"`
	Points int    `json:"points"`
}

type holdersVector struct {
	KeyHash string   `json:"key_hash"`
	Members []string `json:"members"`
}

// TestRingVectors holds the committed vectors against package ring.
func TestRingVectors(t *testing.T) {
	var want []ringVector
	for _, c := range ringCases() {
		want = append(want, vectorOf(t, c.name, c.spec))
	}
	if *update {
		data, err := json.MarshalIndent(want, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(ringVectors, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(ringVectors)
	if err != nil {
		t.Fatal(err)
	}
	var got []ringVector
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s does not hold what package ring says; write it anew with -update", ringVectors)
	}
}

type ringCase struct {
	name string
	spec ring.Spec
}

func ringCases() []ringCase {
	states := func(list ...ring.State) func(int, *ring.Member) {
		return func(i int, m *ring.Member) { m.State = list[i%len(list)] }
	}
	zones := func(count int) func(int, *ring.Member) {
		return func(i int, m *ring.Member) { m.Zone = fmt.Sprintf("zone-%c", 'a'+i%count) }
	}
	return []ringCase{
		{"one", spec(1, 1)},
		{"three_zones", spec(3, 2, zones(3))},
		{"no_zones", spec(4, 3)},
		{"more_members_than_zones", spec(6, 3, zones(2))},
		{"fewer_members_than_replicas", spec(2, 3, zones(2))},
		{"weights_and_points", spec(4, 2, zones(4), func(i int, m *ring.Member) {
			m.Weight, m.Points = uint8(1+i), []uint16{0, 300, 0, 1001}[i]
		})},
		{"ipv6", spec(3, 2, zones(3), func(i int, m *ring.Member) {
			m.Addr = netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("fd00::%d", i+1)), 9800)
		})},
		{"leader_down", spec(3, 2, zones(3), states(ring.Down, ring.Active, ring.Active))},
		{"all_states", spec(5, 2, zones(3), states(ring.Active, ring.Joining, ring.Leaving, ring.Down, ring.Returning))},
		{"nobody_serves", spec(2, 2, zones(2), states(ring.Down))},
	}
}

// spec is a ring of count members, each changed in turn.
func spec(count int, replicas uint8, change ...func(int, *ring.Member)) ring.Spec {
	random := rand.New(rand.NewPCG(uint64(count), uint64(replicas)))
	s := ring.Spec{Epoch: uint32(random.IntN(ring.MaxEpoch)), Replicas: replicas}
	for i := range count {
		m := ring.Member{
			ID: random.Uint64(), Name: fmt.Sprintf("node-%d", i+1), Shards: uint16(1 + i), Weight: 1,
			Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)}), uint16(9800+100*i)),
		}
		for _, f := range change {
			f(i, &m)
		}
		s.Members = append(s.Members, m)
	}
	return s
}

func vectorOf(t *testing.T, name string, s ring.Spec) ringVector {
	t.Helper()
	r, err := ring.Build(s)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	v := ringVector{Name: name, Encoded: hex.EncodeToString(r.AppendEncode(nil)), Epoch: r.Epoch()}
	for i := range r.Members() {
		m := &r.Members()[i]
		points := int(m.Points)
		if points == 0 {
			points = int(m.Weight) * ring.PointsPerWeight
		}
		v.Members = append(v.Members, memberVector{
			fmt.Sprintf("0x%016x", m.ID), m.Name, m.Zone, m.State.String(), m.Addr.Addr().String(), m.Addr.Port(), m.Shards, points,
		})
	}
	random := rand.New(rand.NewPCG(7, 7))
	hashes := []uint64{0, 1<<64 - 1, wire.KeyHash([]byte("user:42"))}
	for rg := range r.Arcs() { // an arc's ends: the point itself is the last hash of its arc
		hashes = append(hashes, rg.From, rg.To, rg.To+1)
		if len(hashes) > 20 {
			break
		}
	}
	for len(hashes) < 60 {
		hashes = append(hashes, random.Uint64())
	}
	for _, hash := range hashes {
		h := holdersVector{KeyHash: fmt.Sprintf("0x%016x", hash), Members: []string{}}
		for _, m := range r.Replicas(hash, nil) {
			h.Members = append(h.Members, m.Name)
		}
		v.Holders = append(v.Holders, h)
	}
	return v
}
