package board

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func newTestBoard(t testing.TB, spec Spec) *Board {
	t.Helper()
	b, err := Create(filepath.Join(t.TempDir(), "board"), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// again maps the same board a second time, as the other process would.
func again(t testing.TB, b *Board) *Board {
	t.Helper()
	other, err := Attach(b.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	return other
}

func TestWhoeverComesFirstCreates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deeper", "board")
	if _, err := Attach(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("attach to nothing: %v", err)
	}
	first, err := Open(path, Spec{Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	first.Fence().Set(42)
	second, err := Open(path, Spec{Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if second.Fence().Nanos() != 42 || second.Shards() != 2 || second.Replaced() {
		t.Errorf("fence %d, %d shards, replaced %v", second.Fence().Nanos(), second.Shards(), second.Replaced())
	}
	if err := second.Need(); err != nil {
		t.Error(err)
	}
}

func TestAnotherGeometryIsAnErrorAndCreateReplaces(t *testing.T) {
	old := newTestBoard(t, Spec{Shards: 1})
	var geometry *GeometryError
	if _, err := Open(old.Path(), Spec{Shards: 2}); !errors.As(err, &geometry) {
		t.Fatalf("open with two shards: %v", err)
	}
	next, err := Create(old.Path(), Spec{Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if !old.Replaced() || next.Replaced() {
		t.Error("the old mapping does not notice the new board, or the new one thinks it is old")
	}
	old.Fence().Set(7) // must not crash, must not be seen
	if next.Fence().Nanos() != 0 {
		t.Error("the boards share memory")
	}
}

func TestSpecIsChecked(t *testing.T) {
	for _, spec := range []Spec{
		{Shards: 0},
		{Shards: MaxShards + 1},
		{Shards: 1, LogBytes: 5000},
		{Shards: 1, ApplyBytes: 2048},
		{Shards: 1, Pacing: 12},
		{Shards: 1, RingBytes: 63},
		{Shards: 1, Sessions: -1},
	} {
		if _, err := Create(filepath.Join(t.TempDir(), "board"), spec); err == nil {
			t.Errorf("%+v was taken", spec)
		}
	}
}

// rewrite changes the file of a board.
func rewrite(t *testing.T, b *Board, change func(file []byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(b.Path())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.Path(), change(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func entryOf(file []byte, id AreaID) []byte {
	n := int(binary.LittleEndian.Uint32(file[12:]))
	for i := range n {
		e := file[headBytes+i*entryBytes:]
		if AreaID(binary.LittleEndian.Uint32(e)) == id {
			return e[:entryBytes]
		}
	}
	return nil
}

func TestAnAreaOfAnotherVersionCostsOnlyItself(t *testing.T) {
	b := newTestBoard(t, Spec{Shards: 1})
	b.Fence().Set(5)
	rewrite(t, b, func(file []byte) []byte {
		binary.LittleEndian.PutUint32(entryOf(file, AreaHot)[4:], 99)
		return file
	})
	other := again(t, b)
	var area *AreaError
	if err := other.Need(); !errors.As(err, &area) || area.ID != AreaHot || area.Have != 99 || area.Want != layoutVersion[AreaHot] {
		t.Errorf("need: %v", err)
	}
	if err := other.Need(AreaFence, AreaNode); err != nil {
		t.Errorf("other areas: %v", err)
	}
	if other.Fence().Nanos() != 5 {
		t.Error("fence lost")
	}
	other.HotKeys(0).Set([]Hot{{Hash: 1, Key: []byte("k")}}, nil)
	if len(b.HotKeys(0).Get()) != 0 {
		t.Error("an area of another version was written")
	}
}

func TestAnUnknownAreaIsSkippedAndAMissingOneReported(t *testing.T) {
	b := newTestBoard(t, Spec{Shards: 1})
	rewrite(t, b, func(file []byte) []byte {
		binary.LittleEndian.PutUint32(entryOf(file, AreaPacing), 1000)
		return file
	})
	other := again(t, b)
	var area *AreaError
	if err := other.Need(AreaPacing); !errors.As(err, &area) || area.Have != 0 {
		t.Errorf("missing area: %v", err)
	}
	if other.Pacing().Rate(1) != 0 || other.Pacing().Cap(1, 5) && b.Pacing().Rate(1) != 0 {
		t.Error("a missing area has content")
	}
}

func TestBadFilesAreRefused(t *testing.T) {
	for name, change := range map[string]func(file []byte) []byte{
		"empty":       func([]byte) []byte { return nil },
		"short":       func(f []byte) []byte { return f[:1000] },
		"truncated":   func(f []byte) []byte { return f[:len(f)-4096] },
		"magic":       func(f []byte) []byte { f[0] = 'X'; return f },
		"unfinished":  func(f []byte) []byte { f[24] = 0; return f },
		"entries":     func(f []byte) []byte { f[12] = 255; return f },
		"outside":     func(f []byte) []byte { binary.LittleEndian.PutUint64(entryOf(f, AreaLog)[8:], 1<<40); return f },
		"overlong":    func(f []byte) []byte { binary.LittleEndian.PutUint32(entryOf(f, AreaLog)[24:], 1<<31); return f },
		"unaligned":   func(f []byte) []byte { binary.LittleEndian.PutUint64(entryOf(f, AreaLog)[8:], 4097); return f },
		"huge stride": func(f []byte) []byte { binary.LittleEndian.PutUint64(entryOf(f, AreaLog)[16:], 1<<63); return f },
	} {
		t.Run(name, func(t *testing.T) {
			b := newTestBoard(t, Spec{Shards: 2})
			rewrite(t, b, change)
			if other, err := Attach(b.Path()); !errors.Is(err, ErrNotBoard) {
				t.Errorf("attach: %v", err)
				_ = other.Close()
			}
			fresh, err := Open(b.Path(), Spec{Shards: 2})
			if err != nil {
				t.Fatalf("open over a bad file: %v", err)
			}
			_ = fresh.Close()
		})
	}
	b := newTestBoard(t, Spec{Shards: 1})
	rewrite(t, b, func(f []byte) []byte { f[8] = 9; return f })
	if _, err := Attach(b.Path()); !errors.Is(err, ErrDirectoryVersion) {
		t.Errorf("directory of another version: %v", err)
	}
}

// FuzzDirectory attaches to files whose directory is anything.
func FuzzDirectory(f *testing.F) {
	spec := Spec{Shards: 2, LogBytes: 4096, ApplyBytes: 4096, ScanBytes: 4096, RingBytes: 64, Sessions: 2, Pacing: 8}
	if err := spec.complete(); err != nil {
		f.Fatal(err)
	}
	entries, size := spec.layout()
	whole := heapBytes(size)
	writeDirectory(whole, entries)
	f.Add(append([]byte(nil), whole[:headBytes+len(entries)*entryBytes]...))
	f.Fuzz(func(t *testing.T, head []byte) {
		file := heapBytes(size)
		copy(file[:directoryBytes], head)
		entries, err := readDirectory(file)
		if err != nil {
			return
		}
		b := &Board{mem: file}
		b.resolve(entries)
		useEverything(b)
	})
}

// useEverything touches all areas of a board, in both directions.
func useEverything(b *Board) {
	b.Node().SetPhase(PhaseServing)
	_ = b.Node().SetInfo(NodeInfo{NodeID: 1})
	b.Node().Info()
	b.Control().Beat(1)
	_ = b.Ring().Publish(1, []byte("ring"))
	b.Ring().Read(nil)
	for shard := range min(b.Shards()+1, 4) {
		for _, q := range []*Queue{b.Log(shard), b.Apply(shard), b.Scan(shard).Results} {
			q.Push(1, []byte("record"))
			_, _, _, _ = q.Peek()
			q.Pop()
		}
		b.Scan(shard).Ask(ScanRequest{ID: 1})
		b.Scan(shard).Request(new(ScanRequest))
		b.Counters(shard).SetIn(GroupStatus, GroupSize-1, 1)
		b.Counters(shard).Set(NumCounters-1, 1)
		var counts [LatencyBuckets]uint64
		b.Latency(shard, LatencyOps-1).Write(&counts, 1)
		b.ShardMemory(shard).SetTotals(1, 1)
		b.HotKeys(shard).Get()
		b.Heartbeat(shard).Beat(1, 1)
	}
	b.Fence().Set(1)
	b.Secret().Set([16]byte{1})
	b.Reasons().Set(GroupWire, []string{"a"})
}

func TestTypedAreasCarryWhatWasSet(t *testing.T) {
	b := newTestBoard(t, Spec{Shards: 2})
	o := again(t, b)
	b.Node().Start(123, 456, 789)
	b.Node().SetPhase(PhaseServing)
	b.Node().SetEpoch(3)
	if pid, ticks := o.Node().PID(); pid != 123 || ticks != 456 || o.Node().Starts() != 1 || o.Node().StartedNanos() != 789 ||
		o.Node().Phase() != PhaseServing || o.Node().Epoch() != 3 {
		t.Error("node")
	}
	info := NodeInfo{NodeID: 9, Listen: "::", Shards: []ShardInfo{{Rung: "udp", WhyNot: []string{"no"}, CPU: 1, Port: 9800}}}
	if err := b.Node().SetInfo(info); err != nil {
		t.Fatal(err)
	}
	if got, ok := o.Node().Info(); !ok || !reflect.DeepEqual(got, info) {
		t.Errorf("info %+v", got)
	}
	b.Control().Start(5, 6)
	b.Control().CountKill()
	if o.Control().PID() != 5 || o.Control().StartedNanos() != 6 || o.Control().BeatNanos() != 6 || o.Control().Kills() != 1 {
		t.Error("control")
	}
	b.Fence().Set(100)
	if !o.Fence().Allows(99) || o.Fence().Allows(100) {
		t.Error("fence")
	}
	b.Heartbeat(1).Beat(11, 12)
	b.Heartbeat(1).SetThread(13)
	if h := o.Heartbeat(1); h.Nanos() != 11 || h.Turns() != 12 || h.Thread() != 13 || o.Heartbeat(0).Nanos() != 0 {
		t.Error("heartbeat")
	}
	if _, ok := o.Secret().Get(); ok {
		t.Error("a secret before any was set")
	}
	b.Secret().Set([16]byte{1, 2, 15: 3})
	if s, ok := o.Secret().Get(); !ok || s != ([16]byte{1, 2, 15: 3}) {
		t.Error("secret")
	}
	b.Counters(1).Set(CountHits, 7)
	b.Counters(1).SetIn(GroupPort, 3, 8)
	b.Counters(1).SetIn(GroupPort, GroupSize, 9) // left out
	if c := o.Counters(1); c.Get(CountHits) != 7 || c.GetIn(GroupPort, 3) != 8 || c.GetIn(GroupSteer, 0) != 0 || o.Counters(0).Get(CountHits) != 0 {
		t.Error("counters")
	}
	b.Reasons().Set(GroupGuard, []string{"one", "two"})
	if got := o.Reasons().Get(GroupGuard); !reflect.DeepEqual(got, []string{"one", "two"}) {
		t.Errorf("reasons %v", got)
	}
}

func TestTablesCarryWhatWasSet(t *testing.T) {
	b := newTestBoard(t, Spec{Shards: 1, Pacing: 16, Sessions: 4})
	o := again(t, b)
	m := b.ShardMemory(0)
	m.SetTotals(10, 5)
	m.SetPurposes([]Purpose{{"items", 3}, {"index", 2}}, nil)
	m.SetClasses([]Class{{SlotBytes: 128, SlabKiB: 2, Items: 9}}, nil)
	if limit, used := o.ShardMemory(0).Totals(); limit != 10 || used != 5 {
		t.Error("totals")
	}
	if got := o.ShardMemory(0).Purposes(); !reflect.DeepEqual(got, []Purpose{{"items", 3}, {"index", 2}}) {
		t.Errorf("purposes %v", got)
	}
	if got := o.ShardMemory(0).Classes(); !reflect.DeepEqual(got, []Class{{128, 2, 9}}) {
		t.Errorf("classes %v", got)
	}
	b.HotKeys(0).Set([]Hot{
		{Hash: 1, Count: 2, Key: []byte("hot"), InKernel: true, KernelHits: 5},
		{Hash: 3, Count: 4, Key: []byte("warm"), GrantMillis: 5000, Grants: 6},
	}, nil)
	if got := o.HotKeys(0).Get(); len(got) != 2 || string(got[1].Key) != "warm" || got[1].Count != 4 || got[1].InKernel ||
		string(got[0].Key) != "hot" || !got[0].InKernel || got[0].KernelHits != 5 || got[0].GrantMillis != 0 ||
		got[1].GrantMillis != 5000 || got[1].Grants != 6 {
		t.Errorf("hot keys %v", got)
	}
	k := Session{ID: 5, Generation: 2, ExpiresAt: 9, Mode: 2, ReceiveKey: [16]byte{1}, SendIV: [12]byte{11: 4}}
	var got Session
	if !b.Sessions().Set(3, &k) || !o.Sessions().Get(3, &got) || got != k || o.Sessions().Get(2, &got) || b.Sessions().Set(4, &k) {
		t.Error("sessions")
	}
	for session := uint64(1); session <= 200; session++ {
		stored := b.Pacing().Cap(session, uint32(session))
		if want := uint32(session); stored && o.Pacing().Rate(session) != want {
			t.Fatalf("cap of session %d is %d", session, o.Pacing().Rate(session))
		}
		if stored && session > 8 {
			b.Pacing().Cap(session, 0)
			if o.Pacing().Rate(session) != 0 {
				t.Fatal("cap not lifted")
			}
		}
	}
	b.Scan(0).Ask(ScanRequest{ID: 4, Above: 7, Spans: []Span{{5, 6}}})
	var r ScanRequest
	if ok := o.Scan(0).Request(&r); !ok || r.ID != 4 || r.Above != 7 || r.Spans[0] != (Span{5, 6}) || o.Scan(0).Generation() == 0 {
		t.Errorf("scan request %+v", r)
	}
}

func TestLatencyBucketsCoverEverything(t *testing.T) {
	last := -1
	for nanos := int64(0); nanos < 1<<36; nanos += nanos/50 + 1 {
		bucket := LatencyBucket(nanos)
		if bucket < last || bucket >= LatencyBuckets {
			t.Fatalf("%d ns: bucket %d after %d", nanos, bucket, last)
		}
		if upper := LatencyUpperNanos(bucket); nanos >= upper && bucket != LatencyBuckets-1 {
			t.Fatalf("%d ns lies in bucket %d, which ends at %d", nanos, bucket, upper)
		}
		if bucket > 0 && nanos < LatencyUpperNanos(bucket-1) {
			t.Fatalf("%d ns lies in bucket %d, below which ends %d", nanos, bucket, LatencyUpperNanos(bucket-1))
		}
		last = bucket
	}
	if last != LatencyBuckets-1 {
		t.Errorf("the last bucket was never reached: %d", last)
	}
}
