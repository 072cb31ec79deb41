package shard

import (
	"fmt"
	"testing"
)

// fullShard is one whose items were all read, and that evicts.
func fullShard(t *testing.T) (s *Shard, keys []string) {
	t.Helper()
	s = openShard(t, Config{MemoryBytes: 4 << 20, Policy: "default"})
	for i := 0; s.stats.ByDrop[DropMemory] == 0; i++ {
		key := fmt.Sprintf("led-%06d", i)
		w := Write{Op: Put, Hash: Hash([]byte(key)), Key: []byte(key), Value: make([]byte, 500)}
		if s.Write(&w, s.now); w.Status != OK {
			t.Fatal(w.Status)
		}
		g := Get{Hash: w.Hash, Key: w.Key}
		s.Get(&g, s.now)
		keys = append(keys, key)
	}
	return s, keys
}

func (s *Shard) applySpare(key string) Status {
	return s.Apply(&Mutation{
		Kind: RecordPut, Spare: true, Hash: Hash([]byte(key)), Key: []byte(key), Value: make([]byte, 500), Version: s.Version() + 1,
	}, s.now)
}

// TestSpareCopiesPushOutLittle: many times as many as there is room for take a small
// share of it, the newest of them stay, and what goes is counted.
func TestSpareCopiesPushOutLittle(t *testing.T) {
	s, led := fullShard(t)
	items := s.Len()
	for i := range 3 * items {
		if status := s.applySpare(fmt.Sprintf("not-%06d", i)); status != OK {
			t.Fatal(status)
		}
	}
	left := 0
	for _, key := range led {
		if found(s, key) {
			left++
		}
	}
	if share := float64(left) / float64(items); share < 0.90 || share > 0.96 {
		t.Errorf("%.3f of what was led is left", share)
	}
	for i := 3*items - items/32; i < 3*items; i++ {
		if key := fmt.Sprintf("not-%06d", i); !found(s, key) {
			t.Fatalf("%s, which is one of the newest, is gone", key)
		}
	}
	if n := s.stats.ByDrop[DropSpare]; n < uint64(2*items) {
		t.Errorf("%d drops are counted as spare", n)
	}
	if err := s.Integrity(true); err != nil {
		t.Fatal(err)
	}
}

// TestASpareCopyIsKeptWhenItIsReadOrWrittenHere; the leader's reads do not do that.
func TestASpareCopyIsKeptWhenItIsReadOrWrittenHere(t *testing.T) {
	s, _ := fullShard(t)
	for _, key := range []string{"used", "read", "written"} {
		if status := s.applySpare(key); status != OK {
			t.Fatal(status)
		}
	}
	w := Write{Op: Put, Hash: Hash([]byte("written")), Key: []byte("written"), Value: make([]byte, 500)}
	s.Write(&w, s.now)
	for range 3 {
		g := Get{Hash: Hash([]byte("read")), Key: []byte("read")}
		s.Get(&g, s.now)
		s.Apply(&Mutation{Kind: RecordUse, Hash: Hash([]byte("used"))}, s.now)
	}
	for i := range s.Len() {
		s.applySpare(fmt.Sprintf("not-%06d", i))
	}
	if found(s, "used") || !found(s, "read") || !found(s, "written") {
		t.Errorf("used here: %v, read: %v, written: %v", found(s, "used"), found(s, "read"), found(s, "written"))
	}
	if err := s.Integrity(true); err != nil {
		t.Fatal(err)
	}
}
