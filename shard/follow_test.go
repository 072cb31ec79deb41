package shard

import (
	"fmt"
	"maps"
	"testing"
)

// fill puts n items and returns their versions by key.
func fill(t *testing.T, s *Shard, n int) map[string]uint64 {
	t.Helper()
	versions := map[string]uint64{}
	for i := range n {
		key := fmt.Sprintf("key-%d", i)
		w := Write{Op: Put, Hash: Hash([]byte(key)), Key: []byte(key), Value: []byte("value")}
		if s.Write(&w, s.now); w.Status != OK {
			t.Fatalf("put %s: %v", key, w.Status)
		}
		versions[key] = w.Version
	}
	return versions
}

func found(s *Shard, key string) bool {
	g := Get{Hash: Hash([]byte(key)), Key: []byte(key), NoTouch: true}
	s.Get(&g, s.now)
	return g.Outcome == Hit
}

func TestForgetTakesTheSetAndNothingElse(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 16 << 20, Policy: "default"})
	versions := fill(t, s, 20_000)
	odd := func(hash, version uint64) bool { return hash>>40&1 == 1 && version&1 == 1 }
	var c Cursor
	steps := 0
	for !s.Forget(&c, odd, 100, s.now) {
		steps++
	}
	if steps < 10 {
		t.Errorf("it took %d steps: it is not cut into slices", steps)
	}
	for key, version := range versions {
		if want := !odd(Hash([]byte(key)), version); found(s, key) != want {
			t.Fatalf("%s: found %v, want %v", key, !want, want)
		}
	}
	if s.stats.ByDrop[DropMoved] == 0 {
		t.Error("nothing is counted")
	}
	if err := s.Integrity(true); err != nil {
		t.Fatal(err)
	}
}

func TestTombstonesAreHandedOn(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 16 << 20, Policy: "default", TombstoneNanos: 60e9})
	fill(t, s, 100)
	want := map[uint64]uint64{}
	for i := range 50 {
		key := fmt.Sprintf("key-%d", i)
		w := Write{Op: Delete, Hash: Hash([]byte(key)), Key: []byte(key)}
		s.Write(&w, s.now)
		want[w.Hash] = w.Version
	}
	got := map[uint64]uint64{}
	for next := 0; ; {
		next = s.Tombstones(next, nil, 7, s.now, func(hash, version uint64) bool {
			got[hash] = version
			return true
		})
		if next == 0 {
			break
		}
	}
	if !maps.Equal(got, want) {
		t.Fatalf("%d tombstones of %d", len(got), len(want))
	}
	since := s.TombstonesSinceNanos()
	if since != testStart {
		t.Errorf("remembered since %d, want since the start", since-testStart)
	}
	s.begin(testStart + 200e9)
	if n := s.Tombstones(0, nil, 1000, s.now, func(uint64, uint64) bool { t.Error("a lapsed one"); return true }); n != 0 {
		t.Error("more to come")
	}
}

// A table that is too small for the deletes says so, and refuses what is old; but not
// what was read from the leader after them.
func TestDeletesThatArePushedOut(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 16 << 20, Policy: "default", TombstoneNanos: 60e9})
	version := uint64(1000)
	rows := len(s.tombs.rows)
	for i := range 4 * rows {
		version++
		key := fmt.Appendf(nil, "deleted-%d", i)
		s.Apply(&Mutation{Kind: RecordDelete, Hash: Hash(key), Key: key, Version: version}, testStart+int64(i))
	}
	last := testStart + int64(4*rows)
	if s.Stats().TombstonesLost == 0 {
		t.Fatal("no tombstone was pushed out: the test shows nothing")
	}
	if since := s.TombstonesSinceNanos(); since <= testStart+int64(rows) || since >= last {
		t.Errorf("every delete is remembered since %d, of %d with room for %d", since-testStart, 4*rows, rows)
	}
	store := func(name string, asOf int64) (stored, refused int) {
		for i := range 500 {
			key := fmt.Appendf(nil, "%s-%d", name, i)
			switch s.Apply(&Mutation{Kind: RecordPut, Hash: Hash(key), Key: key, Value: []byte("v"), Version: 900, AsOfNanos: asOf}, last) {
			case OK:
				stored++
			case Outdated:
				refused++
			}
		}
		return stored, refused
	}
	if _, refused := store("unknown", 0); refused < 450 {
		t.Errorf("%d of 500 old items were refused that may have been deleted", refused)
	}
	if stored, _ := store("later", last); stored != 500 {
		t.Errorf("%d of 500 items were stored that were read after all deletes", stored)
	}
	if _, refused := store("earlier", testStart+int64(rows)); refused < 450 {
		t.Errorf("%d of 500 items were refused that were read before most deletes", refused)
	}
	// What is remembered still is refused whenever it was read.
	key := fmt.Appendf(nil, "deleted-%d", 4*rows-1)
	if got := s.Apply(&Mutation{Kind: RecordPut, Hash: Hash(key), Key: key, Version: 900, AsOfNanos: last}, last); got != Outdated {
		t.Errorf("an item older than its remembered delete: %v", got)
	}
	// A floor lapses with the youngest delete that it stands for.
	if stored, _ := func() (int, int) { last += 61e9; return store("lapsed", 0) }(); stored != 500 {
		t.Errorf("%d of 500 items were stored after the deletes have lapsed", stored)
	}
}

func TestAScanGoesOnWithWhatWasRefused(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 16 << 20, Policy: "default"})
	versions := fill(t, s, 5000)
	seen, calls := map[string]int{}, 0
	for c := (Cursor{}); ; calls++ {
		room := calls % 4 // now and then nothing at all
		if s.Scan(&c, nil, 100, s.now, func(v View) bool {
			if room == 0 {
				return false
			}
			room--
			seen[string(v.Key)]++
			return true
		}) {
			break
		}
		if calls > 20*len(versions) {
			t.Fatal("the scan does not end")
		}
	}
	for key := range versions {
		if seen[key] != 1 {
			t.Fatalf("%s was taken %d times", key, seen[key])
		}
	}
}

func TestFollowerDoesAsItsLeader(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 16 << 20, Policy: "default"})
	versions := fill(t, s, 10)
	key := []byte("key-3")
	hash, version := Hash(key), versions["key-3"]
	if got := s.Apply(&Mutation{Kind: RecordUse, Hash: hash}, s.now); got != OK {
		t.Errorf("use: %v", got)
	}
	if got := s.Apply(&Mutation{Kind: RecordEvict, Hash: hash, Key: key, Version: version - 1}, s.now); got != Outdated || !found(s, "key-3") {
		t.Errorf("eviction of an older item: %v", got)
	}
	if got := s.Apply(&Mutation{Kind: RecordEvict, Hash: hash, Key: key, Version: version}, s.now); got != OK || found(s, "key-3") {
		t.Errorf("eviction: %v", got)
	}
	if got := s.Apply(&Mutation{Kind: RecordUse, Hash: hash}, s.now); got != NotFound {
		t.Errorf("use of nothing: %v", got)
	}
	hash = Hash([]byte("key-4"))
	if got := s.Apply(&Mutation{Kind: RecordDelete, Hash: hash, Version: versions["key-4"] - 1}, s.now); got != Outdated || !found(s, "key-4") {
		t.Errorf("older tombstone: %v", got)
	}
	if got := s.Apply(&Mutation{Kind: RecordDelete, Hash: hash, Version: versions["key-9"] + 5}, s.now); got != OK || found(s, "key-4") {
		t.Errorf("tombstone: %v", got)
	}
	late := Mutation{Kind: RecordPut, Hash: hash, Key: []byte("key-4"), Value: []byte("old"), Version: versions["key-9"] + 4}
	if got := s.Apply(&late, s.now); got != Outdated || found(s, "key-4") {
		t.Errorf("a value older than the tombstone came back: %v", got)
	}
	if err := s.Integrity(true); err != nil {
		t.Fatal(err)
	}
}
