package shard

import (
	"bytes"
	"fmt"
	"testing"

	"gannet/alloc"
)

const testRoom = 208

func roomyShard(t *testing.T, cfg Config) *Shard {
	t.Helper()
	if cfg.MemoryBytes == 0 {
		cfg.MemoryBytes = 8 << 20
	}
	cfg.NUMANode = alloc.NoNUMA
	s, _, err := Open(cfg, 1e9)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func store(t *testing.T, s *Shard, key string, value []byte) Handle {
	t.Helper()
	w := Write{Op: Put, Hash: Hash([]byte(key)), Key: []byte(key), Value: value}
	if s.Write(&w, 2e9); w.Status != OK {
		t.Fatalf("PUT %s: %d", key, w.Status)
	}
	return stored(t, s, key, value)
}

func stored(t *testing.T, s *Shard, key string, value []byte) Handle {
	t.Helper()
	g := Get{Hash: Hash([]byte(key)), Key: []byte(key)}
	if s.Get(&g, 2e9); g.Outcome != Hit || !bytes.Equal(g.Item.Value, value) {
		t.Fatalf("GET %s: outcome %d, %d bytes", key, g.Outcome, len(g.Item.Value))
	}
	return g.Item.Handle
}

// TestHeaderRoomIsNobodysMemory: from the threshold on there is room in front of the
// value, and writing it full changes nothing.
func TestHeaderRoomIsNobodysMemory(t *testing.T) {
	s := roomyShard(t, Config{HeaderRoomBytes: testRoom, HeaderRoomFromBytes: 512})
	for i, n := range []int{1, 511, 512, 1024, 1400, 5000, 100 << 10} {
		key := fmt.Sprint("key", i)
		value := bytes.Repeat([]byte{byte(i + 1)}, n)
		h := store(t, s, key, value)
		room := s.HeaderRoom(h)
		if want := map[bool]int{true: testRoom}[n >= 512]; room != want {
			t.Fatalf("%d bytes have room %d, want %d", n, room, want)
		}
		at := s.mem.valueOffset(s.mem.head(h).word)
		for k := range s.mem.bytes(h, at-room, room) {
			s.mem.bytes(h, at-room, room)[k] = 0xEE
		}
		stored(t, s, key, value)
	}
	if err := s.Integrity(true); err != nil {
		t.Fatal(err)
	}
}

// TestRoomServesOneReply: the second taker is refused until the first has given it
// back, plain pins are not, and the slot of a replaced item waits for all of them.
func TestRoomServesOneReply(t *testing.T) {
	s := roomyShard(t, Config{HeaderRoomBytes: testRoom})
	h := store(t, s, "k", make([]byte, 1500))
	if !s.TakeRoom(h) || s.TakeRoom(h) || !s.Pin(h) || s.RoomsTaken() != 1 {
		t.Fatal("a room serves one, a pin many")
	}
	next := store(t, s, "k", make([]byte, 1501))
	if next == h || !s.TakeRoom(next) {
		t.Fatal("a new value has a slot, and a room, of its own")
	}
	used := s.Stats().SlotBytes
	s.ReturnRoom(h)
	s.ReturnRoom(h) // once too often: nothing happens
	if s.RoomsTaken() != 1 || s.Stats().SlotBytes != used {
		t.Fatal("the slot is still pinned")
	}
	s.Unpin(h)
	if s.Stats().SlotBytes >= used {
		t.Fatal("the replaced item's slot did not become free with its last pin")
	}
	s.UnpinAll()
	if s.RoomsTaken() != 0 || s.Stats().Pins != 0 || !s.TakeRoom(next) {
		t.Error("UnpinAll leaves something taken")
	}
	if small := store(t, s, "small", []byte("x")); s.TakeRoom(small) || s.TakeRoom(0) {
		t.Error("there is no room to take")
	}
}

// TestUnpinAllOfMany: rows move while others are taken out.
func TestUnpinAllOfMany(t *testing.T) {
	s := roomyShard(t, Config{HeaderRoomBytes: testRoom})
	for i := range 400 {
		h := store(t, s, fmt.Sprint("key", i), make([]byte, 1024+i))
		if i%2 == 0 && !s.TakeRoom(h) || !s.Pin(h) || !s.Pin(h) {
			t.Fatal("not pinned")
		}
	}
	s.UnpinAll()
	if s.Stats().Pins != 0 || s.RoomsTaken() != 0 {
		t.Fatalf("%d pins and %d rooms left", s.Stats().Pins, s.RoomsTaken())
	}
	for i := range s.slabs {
		if s.slabs[i].pins != 0 {
			t.Fatalf("slab %d counts %d pins", i, s.slabs[i].pins)
		}
	}
}

// TestMemoryKeepsItsRoom: attaching with another wish changes nothing about the items
// that are there.
func TestMemoryKeepsItsRoom(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{MemoryBytes: 8 << 20, Dir: dir, NUMANode: alloc.NoNUMA, HeaderRoomBytes: testRoom, HeaderRoomFromBytes: 700}
	s, _, err := Open(cfg, 1e9)
	if err != nil {
		t.Fatal(err)
	}
	value := bytes.Repeat([]byte("v"), 900)
	store(t, s, "k", value)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, wish := range []int{0, testRoom, 64} {
		cfg.HeaderRoomBytes, cfg.HeaderRoomFromBytes = wish, 0
		s, rec, err := Open(cfg, 2e9)
		if err != nil {
			t.Fatal(err)
		}
		if rec.Fresh || rec.Items != 1 {
			t.Fatalf("room %d wished: %+v", wish, rec)
		}
		if h := stored(t, s, "k", value); s.HeaderRoom(h) != testRoom {
			t.Errorf("room %d, was %d", s.HeaderRoom(h), testRoom)
		}
		if err := s.Integrity(true); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
