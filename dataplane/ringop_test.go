package dataplane

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"gannet/board"
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
	if got := none.do(wire.Op{Code: wire.Ring}).Status; got != wire.StatusMiss {
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

// TestFollowerAnswersReadsOnly: a node that follows a key answers its GETs, gives no
// lease, and sends writers on.
func TestFollowerAnswersReadsOnly(t *testing.T) {
	b := newBoard(t, 1)
	members := []ring.Member{
		{ID: 7, Name: "self", Weight: 1, Shards: 1, Addr: netip.MustParseAddrPort("10.0.0.7:9800")},
		{ID: 9, Name: "other", Weight: 1, Shards: 1, Addr: netip.MustParseAddrPort("10.0.0.9:9800")},
	}
	both, err := ring.New(4, members)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Ring().Publish(4, both.AppendEncode(nil)); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, rigOptions{config: Config{Board: b, Rings: NewRings(b, func(err error) { t.Error(err) })}})
	led, followed := "", ""
	for i := 0; led == "" || followed == ""; i++ {
		key := fmt.Sprintf("key-%d", i)
		if both.Owns(7, wire.KeyHash([]byte(key))) {
			led = key
		} else {
			followed = key
		}
	}
	ask := func(key string) wire.Op {
		return wire.Op{Code: wire.Get, Key: []byte(key), Flags: wire.OpLease}
	}
	r.mustStatus(wire.StatusLeaseGranted, ask(led))
	r.mustStatus(wire.StatusMiss, ask(followed))
	r.mustStatus(wire.StatusMoved, put(followed, "v"))
	apply := board.Mutation{
		Kind: board.MutationPut, Version: 4<<40 | 1, Hash: wire.KeyHash([]byte(followed)), Key: []byte(followed), Value: []byte("v"),
	}
	if !b.Apply(0).PushMutation(&apply) {
		t.Fatal("the apply queue is full")
	}
	r.loop.Turn(r.now)
	if got := r.mustStatus(wire.StatusOK, ask(followed)); string(got.Value) != "v" {
		t.Fatalf("the follower's copy: %q", got.Value)
	}
}
