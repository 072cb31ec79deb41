package dataplane

import (
	"fmt"
	"net/netip"
	"testing"

	"gannet/board"
	"gannet/ring"
	"gannet/wire"
)

// pairOfNodes puts up a ring of this node and another one, and returns a key that this
// one leads and one that it follows.
func pairOfNodes(t *testing.T, b *board.Board) (led, followed string) {
	t.Helper()
	var members []ring.Member
	for i := range 2 {
		members = append(members, ring.Member{
			ID: uint64(i + 7), Name: fmt.Sprint("node-", i+7), Weight: 1, Shards: 1,
			Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 9800),
		})
	}
	both, err := ring.New(1, members)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Ring().Publish(1, both.AppendEncode(nil)); err != nil {
		t.Fatal(err)
	}
	for i := 0; led == "" || followed == ""; i++ {
		key := fmt.Sprint("key-", i)
		if both.Owns(7, wire.KeyHash([]byte(key))) {
			led = key
		} else {
			followed = key
		}
	}
	return led, followed
}

// TestAFollowerSendsReadersOfWhatItLacksToTheLeader, whatever it has of it; as a leader
// it answers.
func TestAFollowerSendsReadersOfWhatItLacksToTheLeader(t *testing.T) {
	b := newBoard(t, 1)
	led, followed := pairOfNodes(t, b)
	h := newHotRig(t, rigOptions{config: Config{Board: b, Rings: NewRings(b, func(err error) { t.Error(err) })}})
	m := board.Mutation{Kind: board.MutationPut, Version: 1<<40 | 1, Hash: wire.KeyHash([]byte(followed)), Key: []byte(followed), Value: []byte("v")}
	if !b.Apply(0).PushMutation(&m) {
		t.Fatal("no room")
	}
	h.turns()
	h.mustStatus(wire.StatusOK, get(followed))
	h.heat(followed)
	h.mustBe(followed, true)

	everything := []board.Span{{From: 0, To: allHashes}}
	b.Replication().Publish(nil, nil, everything, nil)
	if answer := h.mustStatus(wire.StatusBehind, get(followed)); answer.Version != 0 || len(answer.Value) != 0 {
		t.Errorf("version %d, %d bytes", answer.Version, len(answer.Value))
	}
	h.mustBe(followed, false)
	h.heat(followed)
	h.mustBe(followed, false)
	h.mustStatus(wire.StatusMiss, get(led))
	if h.reason(ReasonLacking) == 0 {
		t.Error("not counted")
	}

	b.Replication().Publish(nil, nil, nil, nil)
	h.mustStatus(wire.StatusOK, get(followed))
}
