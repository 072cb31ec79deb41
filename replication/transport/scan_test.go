package transport

import (
	"fmt"
	"path/filepath"
	"testing"

	"gannet/board"
	"gannet/replication"
	"gannet/ring"
	"gannet/wire"
)

// What a shard showed of an earlier scan was read before the repair began, so its
// follower may have forgotten deletes that came in between.
func TestAPieceHasNothingOfAnEarlierScan(t *testing.T) {
	b, err := board.Create(filepath.Join(t.TempDir(), "board"), board.Spec{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	scan := b.Scan(0)
	show := func(kind board.MutationKind, version uint64, key string) {
		t.Helper()
		m := board.Mutation{Kind: kind, Version: version, Hash: wire.KeyHash([]byte(key)), Key: []byte(key)}
		if !scan.Results.PushMutation(&m) {
			t.Fatal("no room")
		}
	}
	var s scanner
	s.attach([]*board.Scan{scan}, 1000)
	whole := []ring.Range{{From: 0, To: ^uint64(0)}}
	var shown []replication.Scanned
	report := func(e replication.Event) { shown = append(shown, e.(replication.Scanned)) }
	asked := func() uint64 {
		t.Helper()
		s.turn(func() []uint64 { return []uint64{7} }, report)
		var r board.ScanRequest
		if !scan.Request(&r) || r.ID == 0 {
			t.Fatal("no scan was asked for")
		}
		return r.ID
	}

	s.ask(replication.Scan{To: 2, ID: 1, Ranges: whole})
	first := asked()
	show(board.MutationScanBegin, first, "")
	show(board.MutationPut, 1, "of the first scan")
	s.ask(replication.Scan{To: 2, ID: 2, Ranges: whole}) // the stream broke and began anew
	second := asked()
	show(board.MutationPut, 2, "of the first scan, too")
	show(board.MutationScanEnd, first, "")
	show(board.MutationScanBegin, second, "")
	for i := range 3 {
		show(board.MutationPut, uint64(3+i), fmt.Sprint("of the second scan ", i))
	}
	show(board.MutationScanEnd, second, "")
	for range 4 {
		s.turn(func() []uint64 { return []uint64{7} }, report)
	}
	if len(shown) != 1 || shown[0].ID != 2 || !shown[0].Last || shown[0].Records != 3 {
		t.Fatalf("pieces %+v, want one of 3 records for repair 2", shown)
	}
	payload, records := s.take(2, 2)
	var m board.Mutation
	for rest := payload; len(rest) > 0; records-- {
		if rest, err = board.NextMutation(rest, &m); err != nil {
			t.Fatal(err)
		}
		if m.Version < 3 {
			t.Errorf("the piece has %q", m.Key)
		}
	}
	if records != 0 {
		t.Errorf("%d records are missing", records)
	}
}

// Only a repair says since when its items hold, and only this node's own clock counts.
func TestOnlyRepairsSayWhenTheyWereRead(t *testing.T) {
	q := board.NewQueue(1 << 16)
	a := applier{}
	a.attach([]*board.Queue{q})
	foreign := board.Mutation{Kind: board.MutationPut, Version: 1, Key: []byte("k"), Hash: wire.KeyHash([]byte("k")), AsOfSeconds: 99}
	payload := foreign.Append(nil)
	a.add(payload, 0, nil)
	a.add(payload, 5_900_000_000, nil)
	a.turn(func(replication.Event) {})
	for i, want := range []uint32{0, 5} {
		var m board.Mutation
		if ok, err := q.PeekMutation(&m); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if m.AsOfSeconds != want {
			t.Errorf("record %d was read after second %d, want %d", i, m.AsOfSeconds, want)
		}
		q.Pop()
	}
}
