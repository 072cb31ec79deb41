package shard

import (
	"bytes"
	"testing"
)

// Show tells the same of an item as a GET does, and is no use of it.
func TestShow(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 16 << 20})
	for _, c := range []struct {
		key               string
		valueBytes        int
		ttl, soft         uint32
		show              bool
		expires, goesSoft bool
	}{
		{"plain", 100, 0, 0, true, false, false},
		{"empty", 0, 0, 0, true, false, false},
		{"of one unit", UnitBytes, 0, 0, true, false, false},
		{"of more", UnitBytes + 1, 0, 0, false, false, false},
		{"with a TTL", 10, 100, 0, true, true, false},
		{"with both", 10, 100, 50, true, true, true},
	} {
		value := bytes.Repeat([]byte("x"), c.valueBytes)
		w := Write{Op: Put, Hash: Hash([]byte(c.key)), Key: []byte(c.key), Value: value, TTLSeconds: c.ttl, SoftSeconds: c.soft}
		if s.Write(&w, s.now); w.Status != OK {
			t.Fatal(w.Status)
		}
		var p Published
		before := s.Stats().Gets
		if got := s.Show(Hash([]byte(c.key)), []byte(c.key), s.now, &p); got != c.show {
			t.Errorf("%s: shown %v", c.key, got)
			continue
		}
		if s.Stats().Gets != before {
			t.Errorf("%s: counted as a GET", c.key)
		}
		if !c.show {
			continue
		}
		g := Get{Hash: Hash([]byte(c.key)), Key: []byte(c.key)}
		s.Get(&g, s.now)
		if p.Version != g.Item.Version || !bytes.Equal(p.Value, value) || string(p.Key) != c.key || p.Hash != g.Hash {
			t.Errorf("%s: shown %+v, a GET says %+v", c.key, p, g.Item)
		}
		if c.valueBytes > 0 && (p.CRC != g.Item.CRC(0) || p.Sum != g.Item.Sum(0)) {
			t.Errorf("%s: checksums %x %x", c.key, p.CRC, p.Sum)
		}
		if (p.ExpiresTick != NeverTick) != c.expires || (p.SoftTick != NeverTick) != c.goesSoft {
			t.Errorf("%s: ticks %d %d", c.key, p.ExpiresTick, p.SoftTick)
		}
	}
}

// What is past a TTL, or not there, is not shown.
func TestShowNothing(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 16 << 20})
	var p Published
	if s.Show(Hash([]byte("none")), []byte("none"), s.now, &p) {
		t.Error("shown what is not there")
	}
	for _, w := range []Write{{TTLSeconds: 10}, {TTLSeconds: 100, SoftSeconds: 10}} {
		key := []byte("key")
		w.Op, w.Hash, w.Key, w.Value = Put, Hash(key), key, []byte("v")
		if s.Write(&w, s.now); w.Status != OK {
			t.Fatal(w.Status)
		}
		if !s.Show(w.Hash, key, s.now+int64(9e9), &p) {
			t.Error("not shown before its time")
		}
		if s.Show(w.Hash, key, s.now+int64(2e9), &p) {
			t.Errorf("shown after its time: %+v", p)
		}
	}
}

// Uses elsewhere make a key as heavy as GETs do, and protect it from eviction.
func TestNoteUses(t *testing.T) {
	s := openShard(t, Config{CapacityItems: 50, MemoryBytes: 16 << 20})
	key := []byte("used elsewhere")
	mustPut(t, s, string(key), "v")
	left := uint64(0)
	for i := range 2000 {
		left = s.NoteUses(Hash(key), key, left+100)
		if left >= sampleEvery {
			t.Fatalf("%d uses left over", left)
		}
		mustPut(t, s, "filler"+string(rune('a'+i%26))+string(rune('a'+i/26)), "v")
	}
	top := s.Heavy(nil)
	if len(top) != 1 || string(top[0].Key) != string(key) || top[0].Handle == 0 {
		t.Fatalf("heavy hitters: %+v", top)
	}
	if want := uint64(2000 * 100 / sampleEvery); top[0].Count != want {
		t.Errorf("count %d, want %d", top[0].Count, want)
	}
	if s.NoteUses(Hash(key), key, 0) != 0 || s.NoteUses(0, nil, 100) != 0 {
		t.Error("left over from nothing")
	}
}
