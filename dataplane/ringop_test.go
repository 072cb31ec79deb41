package dataplane

import (
	"bytes"
	"net/netip"
	"testing"

	"gannet/ring"
	"gannet/wire"
)

// fleet is an encoded ring of so many members that it takes several datagrams.
func fleet(t *testing.T, epoch uint32, members int) []byte {
	t.Helper()
	all := make([]ring.Member, members)
	for i := range all {
		all[i] = ring.Member{
			ID: uint64(i + 1), Name: "node-with-a-long-name", Weight: 1, Shards: 2,
			Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 9800),
		}
	}
	r, err := ring.New(epoch, all)
	if err != nil {
		t.Fatal(err)
	}
	return r.AppendEncode(nil)
}

func TestRingComesInParts(t *testing.T) {
	b := newBoard(t, 1)
	encoded := fleet(t, 9, 100)
	if err := b.Ring().Publish(9, encoded); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, rigOptions{config: Config{Board: b, Rings: NewRings(b, func(err error) { t.Error(err) })}})
	var got []byte
	for len(got) < len(encoded) {
		answer := r.do(wire.Op{Code: wire.Ring, Arg: uint64(len(got))})
		if answer.Status != wire.StatusOK || answer.Version != 9 || !answer.Intact() {
			t.Fatalf("part at %d: %v, version %d", len(got), answer.Status, answer.Version)
		}
		if int(answer.OffsetBytes) != len(got) || int(answer.TotalBytes) != len(encoded) || answer.Flags&wire.ReplySegment == 0 {
			t.Fatalf("part at %d says offset %d of %d, flags %v", len(got), answer.OffsetBytes, answer.TotalBytes, answer.Flags)
		}
		got = append(got, answer.Value...)
	}
	if !bytes.Equal(got, encoded) {
		t.Fatal("the parts are not the ring")
	}
}

func TestRingOfAFewMembersIsWhole(t *testing.T) {
	b := newBoard(t, 1)
	encoded := fleet(t, 3, 3)
	if err := b.Ring().Publish(3, encoded); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, rigOptions{config: Config{Board: b, Rings: NewRings(b, func(err error) { t.Error(err) })}})
	answer := r.do(wire.Op{Code: wire.Ring})
	if answer.Flags&wire.ReplySegment != 0 || !bytes.Equal(answer.Value, encoded) {
		t.Fatalf("got %d bytes, flags %v", len(answer.Value), answer.Flags)
	}
}

func TestRingRefusesWhatItCannotGive(t *testing.T) {
	none := newRig(t, rigOptions{})
	if got := none.do(wire.Op{Code: wire.Ring}).Status; got != wire.StatusUnavailable {
		t.Errorf("without a ring: %v", got)
	}
	b := newBoard(t, 1)
	if err := b.Ring().Publish(3, fleet(t, 3, 3)); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, rigOptions{config: Config{Board: b, Rings: NewRings(b, func(err error) { t.Error(err) })}})
	for _, offset := range []uint64{1, 1 << 20, 1 << 63} {
		if got := r.do(wire.Op{Code: wire.Ring, Arg: offset}).Status; got != wire.StatusBadRequest {
			t.Errorf("offset %d: %v", offset, got)
		}
	}
}
