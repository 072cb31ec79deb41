package dataplane

import (
	"fmt"
	"testing"

	"gannet/board"
	"gannet/shard"
	"gannet/wire"
)

// TestWhoStandsInSendsReadersOfWhatItHasNotToTheLeader, and answers with what it has.
func TestWhoStandsInSendsReadersOfWhatItHasNotToTheLeader(t *testing.T) {
	b := newBoard(t, 1)
	led, followed := pairOfNodes(t, b)
	h := newHotRig(t, rigOptions{config: Config{Board: b, Rings: NewRings(b, func(err error) { t.Error(err) })}})
	h.turns()
	h.mustStatus(wire.StatusMiss, get(followed))
	b.Replication().Publish(nil, nil, nil, []board.Span{{From: 0, To: allHashes}})
	m := board.Mutation{Kind: board.MutationPut, Version: 1<<40 | 1, Hash: wire.KeyHash([]byte(followed)), Key: []byte(followed), Value: []byte("v")}
	if answer := h.mustStatus(wire.StatusBehind, get(followed)); answer.Version == 0 {
		t.Error("version 0: clients will leave this node out for all that it follows")
	}
	if !b.Apply(0).PushMutation(&m) {
		t.Fatal("no room")
	}
	h.turns()
	h.mustStatus(wire.StatusOK, get(followed))
	h.mustStatus(wire.StatusMiss, get(led))

	b.Replication().Publish(nil, nil, nil, nil)
	for i := 0; ; i++ {
		if other := fmt.Sprint("other-", i); !h.loop.ring.Owns(7, wire.KeyHash([]byte(other))) {
			h.mustStatus(wire.StatusMiss, get(other))
			return
		}
	}
}

// TestCopiesOfWhoStandsInGoFirst: when all that came in the place of a node that is down
// finds no room, it is such copies that go, and they are counted apart.
func TestCopiesOfWhoStandsInGoFirst(t *testing.T) {
	b := newBoard(t, 1)
	r := newRig(t, rigOptions{config: Config{Board: b}, store: shard.Config{MemoryBytes: shard.MinMemoryBytes}})
	b.Replication().Publish(nil, nil, nil, []board.Span{{From: 0, To: allHashes}})
	r.turns()
	for i := range 8000 {
		key := fmt.Sprint("key-", i)
		m := board.Mutation{
			Kind: board.MutationPut, Version: 1<<40 | uint64(i+1), Hash: wire.KeyHash([]byte(key)), Key: []byte(key), Value: make([]byte, 1000),
		}
		if !b.Apply(0).PushMutation(&m) {
			t.Fatal("no room")
		}
		r.turns()
	}
	stats := r.loop.store.Stats()
	if spare, other := stats.ByDrop[shard.DropSpare], stats.ByDrop[shard.DropMemory]; spare < 4000 || other > 0 {
		t.Errorf("%d spare and %d other items were evicted", spare, other)
	}
}
