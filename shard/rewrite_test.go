package shard

import (
	"bytes"
	"fmt"
	"testing"
)

func handleOf(s *Shard, key string) Handle {
	h, _ := s.lookup(mix(Hash([]byte(key))), []byte(key))
	return h
}

// TestRewriteInPlace: a value of the same size goes where the old one was, unless
// somebody reads there or the slot does not fit.
func TestRewriteInPlace(t *testing.T) {
	for _, policy := range []string{"lru", "default"} {
		s := openShard(t, Config{MemoryBytes: 8 << 20, Policy: policy})
		first := mustPut(t, s, "k", "the first value")
		h := handleOf(s, "k")
		second := mustPut(t, s, "k", "another value..")
		if handleOf(s, "k") != h || second.Version <= first.Version {
			t.Fatalf("%s: not in place, or version %d after %d", policy, second.Version, first.Version)
		}
		g := get(s, "k")
		if string(g.Item.Value) != "another value.." || g.Item.Version != second.Version || !checkUnits(g.Item.table, g.Item.Value) {
			t.Fatalf("%s: %q of version %d", policy, g.Item.Value, g.Item.Version)
		}
		if !s.Pin(h) {
			t.Fatal("not pinned")
		}
		mustPut(t, s, "k", "while it is read")
		if handleOf(s, "k") == h || string(g.Item.Value) != "another value.." {
			t.Fatalf("%s: a pinned slot was rewritten: %q", policy, g.Item.Value)
		}
		s.Unpin(h)
		for name, change := range map[string]func(){
			"longer":   func() { mustPut(t, s, "k", string(make([]byte, 300))) },
			"with TTL": func() { put(s, "k", string(make([]byte, 300)), func(w *Write) { w.TTLSeconds = 5 }) },
		} {
			change()
			intact(t, s)
			if w := get(s, "k"); len(w.Item.Value) != 300 {
				t.Errorf("%s, %s: %+v", policy, name, w)
			}
		}
		intact(t, s)
	}
}

// TestRewriteMovesExpiry: the wheel follows an item whose TTL is changed in place.
func TestRewriteMovesExpiry(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 8 << 20})
	ttl := func(seconds uint32) func(*Write) { return func(w *Write) { w.TTLSeconds = seconds } }
	for i := range 100 {
		put(s, fmt.Sprint("k", i), "value", ttl(10))
	}
	h := handleOf(s, "k7")
	for i := range 100 {
		put(s, fmt.Sprint("k", i), "other", ttl(uint32(5+i%30)))
	}
	if handleOf(s, "k7") != h {
		t.Fatal("not in place")
	}
	for second := int64(0); second < 40; second++ {
		s.Advance(testStart+second*1e9, 10000)
		for i := range int64(100) {
			if left := 5 + i%30 - second; left > 1 && get(s, fmt.Sprint("k", i)).Outcome != Hit {
				t.Fatalf("item %d went %d s early", i, left)
			}
		}
		intact(t, s)
	}
	if s.Len() != 0 || s.stats.ByDrop[DropWheel] != 100 {
		t.Errorf("%d items left, %d swept", s.Len(), s.stats.ByDrop[DropWheel])
	}
}

// TestVoidNote: a note that does not fit what is in the slot is not believed.
func TestVoidNote(t *testing.T) {
	for name, spoil := range map[string]func(*Shard, *rewriteNote){
		"later write": func(s *Shard, _ *rewriteNote) { s.super.version++ },
		"other key":   func(_ *Shard, n *rewriteNote) { n.hash++ },
		"other shape": func(_ *Shard, n *rewriteNote) { n.head.word ^= flagTTL },
		"too long":    func(_ *Shard, n *rewriteNote) { n.head.word += 500 << valueLenShift },
		"no slot":     func(s *Shard, _ *rewriteNote) { s.super.rewriting++ },
		"far":         func(s *Shard, _ *rewriteNote) { s.super.rewriting = ^Handle(0) },
	} {
		cfg := Config{MemoryBytes: 8 << 20, Dir: tempTmpfs(t), NUMANode: -1}
		s := openShard(t, cfg)
		mustPut(t, s, "key", "value")
		mustPut(t, s, "key", "newer") // leaves a note
		n := noteOf(s.super)
		copy(n.tail[4:], "wrong")
		s.super.rewriting = handleOf(s, "key")
		spoil(s, n)
		if err := s.unmap(); err != nil {
			t.Fatal(err)
		}
		s, rec, err := Open(cfg, testStart)
		if err != nil || rec.Fresh || rec.Undone != "" {
			t.Fatalf("%s: %+v, %v", name, rec, err)
		}
		if g := get(s, "key"); !bytes.Equal(g.Item.Value, []byte("newer")) || s.super.rewriting != 0 {
			t.Errorf("%s: %q", name, g.Item.Value)
		}
		intact(t, s)
		s.Close()
	}
}

// TestRecentAnswers: retries of writes that may be repeated, in many lines, and what
// must not be taken for one.
func TestRecentAnswers(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 64 << 20})
	by := func(client, request uint64) func(*Write) {
		return func(w *Write) { w.Client, w.Request = client, request }
	}
	var versions [100]uint64
	for i := range versions {
		versions[i] = put(s, fmt.Sprint(i), "v", by(3, uint64(i+1))).Version
	}
	repeated := 0
	for i, version := range versions {
		if w := put(s, fmt.Sprint(i), "w", by(3, uint64(i+1))); w.Repeated {
			repeated++
			if w.Status != OK || w.Version != version {
				t.Fatalf("retry %d: %+v", i, w)
			}
		}
	}
	if repeated < 90 {
		t.Errorf("%d of 100 retries were recognised", repeated)
	}
	for name, w := range map[string]Write{
		"client":  put(s, "99", "x", by(4, 100)),
		"request": put(s, "99", "x", by(3, 1000)),
		"key":     put(s, "98", "x", by(3, 100)),
		"op":      put(s, "99", "x", by(3, 100), func(w *Write) { w.Op = Replace }),
	} {
		if w.Repeated || w.Status != OK {
			t.Errorf("another %s: %+v", name, w)
		}
	}
}
