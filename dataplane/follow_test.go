package dataplane

import (
	"fmt"
	"testing"

	"gannet/board"
	"gannet/wire"
)

const allHashes = ^uint64(0)

func replicaPut(key, value string) wire.Op {
	op := put(key, value)
	op.Flags = wire.OpAckReplica
	return op
}

// TestHeldRangesTakeNoWrites: a new leader waits until it has what the old one had.
func TestHeldRangesTakeNoWrites(t *testing.T) {
	r := newRig(t, rigOptions{})
	hash := wire.KeyHash([]byte("held"))
	r.board.Replication().Publish([]board.Span{{From: hash, To: hash}}, nil, nil, nil)
	r.mustStatus(wire.StatusFenced, put("held", "v"))
	r.mustStatus(wire.StatusOK, put("free", "v"))
	r.mustStatus(wire.StatusMiss, get("held"))
	r.board.Replication().Publish(nil, nil, nil, nil)
	r.mustStatus(wire.StatusOK, put("held", "v"))
	if r.reason(ReasonHeld) != 1 {
		t.Error("not counted")
	}
}

func TestDegradedAcknowledgements(t *testing.T) {
	r := newRig(t, rigOptions{})
	hash := wire.KeyHash([]byte("alone"))
	flagged := func(op wire.Op) bool {
		return r.mustStatus(wire.StatusOK, op).Flags&wire.ReplyDegraded != 0
	}
	if flagged(put("a", "v")) || !flagged(replicaPut("a", "v")) {
		t.Error("without replication only who asks for a replica is told")
	}
	r.board.Replication().SetSync(r.now + 1000)
	r.board.Replication().Publish(nil, []board.Span{{From: hash, To: hash}}, nil, nil)
	if flagged(put("a", "v")) || !flagged(put("alone", "v")) || !flagged(replicaPut("alone", "v")) {
		t.Error("the range without a follower is not what is marked")
	}
	r.now += 1000
	if !flagged(put("a", "v")) {
		t.Error("an unreplicated write is too old, and acknowledgements are not marked")
	}
}

// TestAcknowledgementWaitsForReplicas: with ack=replica an answer leaves when the
// followers have the write, or marked, when they do not get it in time.
func TestAcknowledgementWaitsForReplicas(t *testing.T) {
	for name, end := range map[string]func(r *rig, upto uint64){
		"replicated": func(r *rig, upto uint64) { r.board.Replicated(0).Set(upto) },
		"late":       func(r *rig, _ uint64) { r.now += longestWaitNanos; r.board.Replication().SetSync(r.now * 2) },
		"out of sync": func(r *rig, _ uint64) {
			r.board.Replication().Publish(nil, []board.Span{{From: 0, To: allHashes}}, nil, nil)
		},
		"fenced": func(r *rig, upto uint64) { r.board.Fence().Set(r.now); r.board.Replicated(0).Set(upto) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigOptions{})
			r.board.Replication().SetSync(r.now * 2)
			before := uint64(r.mustStatus(wire.StatusOK, put("first", "v")).Version)
			if !r.board.Heartbeat(0).Patient() {
				t.Error("the shard wants to be woken for an acknowledgement that nobody waits for")
			}
			r.inject(datagram(r.header(), replicaPut("k", "v"), replicaPut("l", "v")))
			r.turns()
			if n := len(r.take()); n != 0 {
				t.Fatalf("%d answers before a follower had the write", n)
			}
			if r.board.Heartbeat(0).Patient() {
				t.Error("the shard does not want to be woken for the followers' word")
			}
			if got := r.mustStatus(wire.StatusOK, get("k")); string(got.Value) != "v" {
				t.Fatal("the write is not done")
			}
			r.board.Replicated(0).Set(before + 1)
			r.turns()
			if n := len(r.take()); n != 0 {
				t.Fatal("answered before the second write was replicated")
			}
			end(r, before+2)
			r.turns()
			got := r.take()
			if len(got) != 1 || len(got[0].ops) != 2 {
				t.Fatalf("%d answers", len(got))
			}
			op := got[0].ops[1]
			wantDegraded, wantStatus := name == "late" || name == "out of sync", wire.StatusOK
			if name == "fenced" {
				wantStatus = wire.StatusOutcomeUnknown
			}
			if op.Status != wantStatus || op.Flags&wire.ReplyDegraded != 0 != wantDegraded {
				t.Errorf("%v, flags %v", op.Status, op.Flags)
			}
			if r.loop.heldFrames() != 0 {
				t.Error("frames are held still")
			}
			if !r.board.Heartbeat(0).Patient() {
				t.Error("the shard is impatient for nothing")
			}
		})
	}
}

// TestTooManyWaitingAcknowledgementsAreDegraded: room for waiting is bounded.
func TestTooManyWaitingAcknowledgementsAreDegraded(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.board.Replication().SetSync(r.now * 2)
	for i := range maxWaits + 100 {
		r.inject(datagram(r.header(), replicaPut(fmt.Sprint(i), "v")))
		r.turns()
	}
	if got := r.take(); len(got) == 0 || got[0].ops[0].Flags&wire.ReplyDegraded == 0 {
		t.Fatalf("%d answers", len(got))
	}
	if r.reason(ReasonWaitsFull) == 0 {
		t.Error("not counted")
	}
	r.board.Replicated(0).Set(1 << 62)
	r.turns()
	if r.loop.heldFrames() != 0 {
		t.Errorf("%d frames are held still", r.loop.heldFrames())
	}
}

// TestDropComesBeforeWhatFollows: a follower that begins anew forgets first.
func TestDropComesBeforeWhatFollows(t *testing.T) {
	r := newRig(t, rigOptions{})
	for i := range 2000 {
		r.mustStatus(wire.StatusOK, put(fmt.Sprint("old-", i), "v"))
	}
	drop := board.DropMutation([]board.Span{{From: 0, To: allHashes}}, nil)
	fresh := board.Mutation{Kind: board.MutationPut, Version: 1 << 50, Hash: wire.KeyHash([]byte("new")), Key: []byte("new"), Value: []byte("v")}
	q := r.board.Apply(0)
	if !q.PushMutation(&drop) || !q.PushMutation(&fresh) {
		t.Fatal("no room")
	}
	for range 200 {
		r.loop.Turn(r.now)
	}
	r.mustStatus(wire.StatusOK, get("new"))
	for i := range 2000 {
		r.mustStatus(wire.StatusMiss, get(fmt.Sprint("old-", i)))
	}
	if q.Filled() != 0 {
		t.Error("the queue is not empty")
	}
}

// TestScanShowsDeletesFirst of the spans that are asked for, above a version.
func TestScanShowsDeletesFirst(t *testing.T) {
	r := newRig(t, rigOptions{})
	low := func(key string) bool { return wire.KeyHash([]byte(key)) <= allHashes/2 }
	var above uint64
	want := map[uint64]bool{} // hashes to be shown; true: as deleted
	for i := range 400 {
		key := fmt.Sprint("key-", i)
		stored := r.mustStatus(wire.StatusOK, put(key, "v"))
		if i == 200 {
			above = uint64(stored.Version)
		}
		if i%4 == 0 {
			r.mustStatus(wire.StatusOK, wire.Op{Code: wire.Delete, Key: []byte(key)})
		}
		if i >= 200 && low(key) { // the 200th is deleted, above its own version
			want[wire.KeyHash([]byte(key))] = i%4 == 0
		}
	}
	scan := r.board.Scan(0)
	scan.Ask(board.ScanRequest{ID: 3, Above: above, Spans: []board.Span{{From: 0, To: allHashes / 2}}})
	items := false
	var m board.Mutation
	for {
		r.loop.Turn(r.now)
		ok, err := scan.Results.PeekMutation(&m)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			continue
		}
		if m.Kind == board.MutationScanEnd {
			break
		}
		if m.Kind == board.MutationScanBegin {
			scan.Results.Pop()
			continue
		}
		deleted, asked := want[m.Hash]
		if !asked || deleted != (m.Kind == board.MutationDelete) || deleted && items {
			t.Fatalf("shown: kind %d of %q (wanted %v, deleted %v, after items %v)", m.Kind, m.Key, asked, deleted, items)
		}
		items = items || !deleted
		delete(want, m.Hash)
		scan.Results.Pop()
	}
	if len(want) != 0 {
		t.Errorf("%d are missing", len(want))
	}
}

// TestUsesReachTheFollower: what is read at the leader is noted where it is not.
func TestUsesReachTheFollower(t *testing.T) {
	r := newRig(t, rigOptions{})
	log := r.board.Log(0)
	r.mustStatus(wire.StatusOK, put("k", "v"))
	r.mustStatus(wire.StatusOK, get("k"))
	log.Follow(true)
	r.mustStatus(wire.StatusOK, get("k"))
	r.mustStatus(wire.StatusMiss, get("none"))
	r.now += usesNanos
	r.turns()
	var m board.Mutation
	ok, err := log.PeekMutation(&m)
	if !ok || err != nil || m.Kind != board.MutationReference || m.References() != 1 || m.ReferenceHash(0) != wire.KeyHash([]byte("k")) {
		t.Fatalf("%v %v: kind %d with %d references", ok, err, m.Kind, m.References())
	}
	if !r.board.Apply(0).PushMutation(&m) {
		t.Fatal("no room")
	}
	r.turns()
	if r.board.Apply(0).Filled() != 0 || r.reason(ReasonBadApply) != 0 {
		t.Error("uses are not taken")
	}
}
