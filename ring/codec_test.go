package ring

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestEncodeDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := mustBuild(t, genSpec(t))
		got, err := Decode(r.AppendEncode(nil))
		if err != nil {
			t.Fatal(err)
		}
		if got.Epoch() != r.Epoch() || got.ReplicaCount() != r.ReplicaCount() ||
			!slices.Equal(got.Members(), r.Members()) || !slices.Equal(got.sets, r.sets) {
			t.Fatal("decoded ring differs")
		}
	})
}

func TestDecodeRefusesAnyChangedByte(t *testing.T) {
	r := build(t, member(1, 1), member(2, 2))
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

// TestDecodeWantsMembersInOrder: else one ring would have several encodings.
func TestDecodeWantsMembersInOrder(t *testing.T) {
	r := build(t, member(1, 1), member(2, 1))
	good := r.AppendEncode(nil)
	size := (len(good) - headBytes - sumBytes) / 2
	first, second := good[headBytes:headBytes+size], good[headBytes+size:headBytes+2*size]
	for name, body := range map[string][]byte{
		"swapped": slices.Concat(good[:headBytes], second, first, make([]byte, sumBytes)),
		"twice":   slices.Concat(good[:headBytes], first, first, make([]byte, sumBytes)),
	} {
		if _, err := Decode(withSum(body)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Decode(withSum(good)); err != nil {
		t.Error(err)
	}
}

// TestLargestRingFitsTheBoard: the board's room for a ring is 1 MiB unless set.
func TestLargestRingFitsTheBoard(t *testing.T) {
	members := make([]Member, MaxMembers)
	for i := range members {
		members[i] = member(uint64(i+1), 1)
		members[i].Points = 1
		members[i].Name = strings.Repeat("n", maxNameBytes)
		members[i].Zone = strings.Repeat("z", maxNameBytes)
	}
	if size := len(build(t, members...).AppendEncode(nil)); size > 1<<20 {
		t.Errorf("%d members take %d bytes", MaxMembers, size)
	}
}

// withSum replaces the sum at the end: else nothing changed would get past it.
func withSum(b []byte) []byte {
	if len(b) < headBytes+sumBytes {
		return b
	}
	body := slices.Clone(b[:len(b)-sumBytes])
	return binary.LittleEndian.AppendUint32(body, crc32.Checksum(body, castagnoli))
}

func FuzzDecode(f *testing.F) {
	down := member(3, 1)
	down.State, down.Zone, down.Points, down.Control = Down, "b", 240, down.Addr
	for _, members := range [][]Member{{member(1, 1), member(2, 2)}, {member(1, 1), down}} {
		r, err := Build(Spec{Epoch: 7, Replicas: 3, Members: members})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(r.AppendEncode(nil))
	}
	f.Add([]byte("GNRG"))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = withSum(b)
		r, err := Decode(b)
		if err != nil {
			return
		}
		if !slices.Equal(r.AppendEncode(nil), b) {
			t.Fatal("decoded, but encodes otherwise")
		}
		r.Owner(0)
		r.Next()
	})
}
