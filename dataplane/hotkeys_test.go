package dataplane

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"gannet/board"
	"gannet/shard"
	"gannet/wire"
)

// fakeTable keeps what is published in a map. When something is withdrawn, no
// reply may be out that was not out before.
type fakeTable struct {
	t         *testing.T
	rig       *rig
	items     map[int]shard.Published // with copies of key and value
	hits      map[int]uint64
	stamped   int64
	epoch     uint32
	load      uint16
	refuse    bool
	withdrawn int
}

func (f *fakeTable) Publish(item *shard.Published) (int, bool) {
	if f.refuse {
		return 0, false
	}
	own := *item
	own.Key, own.Value = bytes.Clone(item.Key), bytes.Clone(item.Value)
	for slot := 3; ; slot++ {
		if _, used := f.items[slot]; !used {
			f.items[slot] = own
			return slot, true
		}
	}
}

func (f *fakeTable) Withdraw(slot int) {
	if _, ok := f.items[slot]; !ok {
		f.t.Errorf("slot %d withdrawn, which is free", slot)
	}
	if _, _, ok := f.rig.port.Take(); ok {
		f.t.Error("a reply was out before the key was withdrawn")
	}
	delete(f.items, slot)
	f.withdrawn++
}

func (f *fakeTable) Hits(slot int) uint64               { return f.hits[slot] }
func (f *fakeTable) SetReply(epoch uint32, load uint16) { f.epoch, f.load = epoch, load }
func (f *fakeTable) Stamp(nowNanos int64)               { f.stamped = nowNanos }
func (f *fakeTable) slotOf(key string) (slot int, ok bool) {
	for slot, item := range f.items {
		if string(item.Key) == key {
			return slot, true
		}
	}
	return 0, false
}

// hotRig is a rig with a table.
type hotRig struct {
	*rig
	table *fakeTable
}

func newHotRig(t *testing.T, opt rigOptions) *hotRig {
	table := &fakeTable{t: t, items: map[int]shard.Published{}, hits: map[int]uint64{}}
	opt.config.Hot = table
	h := &hotRig{newRig(t, opt), table}
	table.rig = h.rig
	return h
}

// heat asks for a key until it stands out, and has a pass follow.
func (h *hotRig) heat(key string) {
	h.t.Helper()
	ops := make([]wire.Op, 20)
	for i := range ops {
		ops[i] = wire.Op{Code: wire.Get, Key: []byte(key), Flags: wire.OpNoValue}
	}
	for range 40 * 64 / len(ops) {
		h.one(ops...)
	}
	h.pass()
}

func (h *hotRig) pass() {
	h.now += hotInterval
	h.turns()
}

func (h *hotRig) published(key string) bool {
	_, ok := h.table.slotOf(key)
	return ok
}

func (h *hotRig) mustBe(key string, published bool) {
	h.t.Helper()
	if h.published(key) != published {
		h.t.Fatalf("%q published: %v, want %v", key, !published, published)
	}
}

func TestHotKeyIsPublished(t *testing.T) {
	h := newHotRig(t, rigOptions{})
	h.mustStatus(wire.StatusOK, wire.Op{Code: wire.Put, Key: []byte("hot"), Value: []byte("a value"), TTLSeconds: 100, SoftSeconds: 50})
	h.mustStatus(wire.StatusOK, put("long", strings.Repeat("x", shard.UnitBytes+1)))
	h.heat("hot")
	h.heat("long")
	h.heat("none")
	h.mustBe("hot", true)
	h.mustBe("long", false)
	h.mustBe("none", false)
	slot, _ := h.table.slotOf("hot")
	item, met := h.table.items[slot], h.do(get("hot"))
	if string(item.Value) != "a value" || item.Hash != wire.KeyHash([]byte("hot")) || wire.Version(item.Version) != met.Version || item.CRC != met.CRC {
		t.Errorf("published %+v, the shard says %+v", item, met)
	}
	if ttl := (int64(item.ExpiresTick)*125e6 + item.OriginNanos - h.now) / 1e9; ttl < 90 || ttl > 100 {
		t.Errorf("expires in %d s", ttl)
	}
	if soft := (int64(item.SoftTick)*125e6 + item.OriginNanos - h.now) / 1e9; soft < 40 || soft > 50 {
		t.Errorf("stale in %d s", soft)
	}
	if h.now-h.table.stamped > int64(1e6) || h.counter(board.CountKernelPublished) != 1 {
		t.Errorf("stamped at %d of %d, %d published", h.table.stamped, h.now, h.counter(board.CountKernelPublished))
	}
}

// A few GETs make no key hot, and a table that is full is no error.
func TestColdKeyIsNotPublished(t *testing.T) {
	h := newHotRig(t, rigOptions{})
	h.mustStatus(wire.StatusOK, put("cold", "v"))
	for range 100 {
		h.do(get("cold"))
	}
	h.pass()
	h.mustBe("cold", false)
	h.table.refuse = true
	h.heat("cold")
	h.mustBe("cold", false)
	h.table.refuse = false
	h.pass()
	h.mustBe("cold", true)
}

// Whatever changes an item withdraws it before its answer is out; what changes
// nothing does not.
func TestHotKeyIsWithdrawnBeforeTheAnswer(t *testing.T) {
	const key = "5"
	of := func(code wire.Opcode, value string) wire.Op {
		return wire.Op{Code: code, Key: []byte(key), Value: []byte(value)}
	}
	for _, c := range []struct {
		name    string
		change  func(h *hotRig)
		remains bool
	}{
		{"PUT", func(h *hotRig) { h.mustStatus(wire.StatusOK, of(wire.Put, "6")) }, false},
		{"REPLACE", func(h *hotRig) { h.mustStatus(wire.StatusOK, of(wire.Replace, "6")) }, false},
		{"DELETE", func(h *hotRig) { h.mustStatus(wire.StatusOK, of(wire.Delete, "")) }, false},
		{"CAS", func(h *hotRig) {
			op := of(wire.CAS, "6")
			op.Arg = uint64(h.do(get(key)).Version)
			h.mustStatus(wire.StatusOK, op)
		}, false},
		{"INCR", func(h *hotRig) {
			op := of(wire.Incr, "")
			op.Arg = 1
			h.mustStatus(wire.StatusOK, op)
		}, false},
		{"TOUCH", func(h *hotRig) {
			op := of(wire.Touch, "")
			op.TTLSeconds = 7
			h.mustStatus(wire.StatusOK, op)
		}, false},
		{"upload", func(h *hotRig) {
			op := of(wire.Put, strings.Repeat("y", 1024))
			op.Flags, op.TotalBytes, op.Transfer = wire.OpSegment, 2048, 9
			h.mustStatus(wire.StatusPartial, op)
			h.mustBe(key, true)
			op.OffsetBytes = 1024
			h.mustStatus(wire.StatusOK, op)
		}, false},
		{"PUT behind other operations", func(h *hotRig) { h.one(get("other"), of(wire.Put, "6"), get(key)) }, false},
		{"replicated PUT", func(h *hotRig) { h.apply(board.MutationPut, key, "6") }, false},
		{"replicated DELETE", func(h *hotRig) { h.apply(board.MutationDelete, key, "") }, false},
		{"replicated eviction", func(h *hotRig) { h.apply(board.MutationEvict, key, "") }, false},
		{"range moved away", func(h *hotRig) {
			hash := wire.KeyHash([]byte(key))
			drop := board.DropMutation([]board.Span{{From: hash, To: hash}}, nil)
			if !h.board.Apply(0).PushMutation(&drop) {
				h.t.Fatal("apply queue is full")
			}
			h.turns()
			h.mustStatus(wire.StatusMiss, get(key))
		}, false},
		{"replicated TOUCH", func(h *hotRig) { h.apply(board.MutationTouch, key, "") }, false},
		{"expiry", func(h *hotRig) {
			op := of(wire.Put, "6")
			op.TTLSeconds = 1
			h.mustStatus(wire.StatusOK, op)
			h.heat(key)
			h.mustBe(key, true)
			h.now += int64(3e9)
			h.mustStatus(wire.StatusMiss, get(key))
		}, false},
		{"ADD that is refused", func(h *hotRig) { h.mustStatus(wire.StatusExists, of(wire.Add, "6")) }, true},
		{"CAS that fails", func(h *hotRig) {
			op := of(wire.CAS, "6")
			op.Arg = 999
			h.mustStatus(wire.StatusVersionMismatch, op)
		}, true},
		{"PUT of another key", func(h *hotRig) { h.mustStatus(wire.StatusOK, put("other", "6")) }, true},
		{"GET", func(h *hotRig) { h.mustStatus(wire.StatusOK, get(key)) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHotRig(t, rigOptions{})
			h.mustStatus(wire.StatusOK, of(wire.Put, "5"))
			h.heat(key)
			h.mustBe(key, true)
			c.change(h)
			h.mustBe(key, c.remains)
			published, withdrawn := h.counter(board.CountKernelPublished), h.counter(board.CountKernelWithdrawn)
			if int(withdrawn) != h.table.withdrawn || published != withdrawn+uint64(len(h.table.items)) {
				t.Errorf("counted %d published, %d withdrawn", published, withdrawn)
			}
		})
	}
}

// apply has a mutation come from replication.
func (h *hotRig) apply(kind board.MutationKind, key, value string) {
	h.t.Helper()
	version := uint64(h.do(get(key)).Version)
	if kind != board.MutationTouch {
		version++
	}
	m := board.Mutation{Kind: kind, Version: version, Hash: wire.KeyHash([]byte(key)), Key: []byte(key), Value: []byte(value)}
	if !h.board.Apply(0).PushMutation(&m) {
		h.t.Fatal("apply queue is full")
	}
	h.turns()
}

// An evicted item is withdrawn, too.
func TestHotKeyIsEvicted(t *testing.T) {
	h := newHotRig(t, rigOptions{store: shard.Config{CapacityItems: 50}})
	h.mustStatus(wire.StatusOK, put("hot", "v"))
	h.heat("hot")
	h.mustBe("hot", true)
	for n := 0; h.published("hot"); n++ {
		if n > 10_000 {
			t.Fatal("never evicted")
		}
		filler := fmt.Sprint("filler", n)
		h.do(put(filler, "v"))
		for range 3 { // as useful as the hot one
			h.do(get(filler))
		}
	}
	h.mustStatus(wire.StatusMiss, get("hot"))
}

// What the kernel answers keeps a key hot, and counts as use.
func TestKernelHitsKeepAKeyHot(t *testing.T) {
	h := newHotRig(t, rigOptions{})
	h.mustStatus(wire.StatusOK, put("hot", "v"))
	h.heat("hot")
	slot, ok := h.table.slotOf("hot")
	if !ok {
		t.Fatal("not published")
	}
	for range 20 * 60 { // 2 minutes
		h.table.hits[slot] += 100
		h.pass()
	}
	h.mustBe("hot", true)
	if hits := h.counter(board.CountKernelHits); hits != 20*60*100 {
		t.Errorf("%d kernel hits counted, want %d", hits, 20*60*100)
	}
	h.loop.publishSlowly()
	if lines := h.board.HotKeys(0).Get(); len(lines) != 1 || !lines[0].InKernel || lines[0].KernelHits != 20*60*100 {
		t.Errorf("the board says %+v", lines)
	}
	for range 20 * 60 {
		h.pass()
	}
	h.mustBe("hot", false)
	if h.counter(board.CountKernelWithdrawn) != 1 {
		t.Error("a key that has cooled was not withdrawn once")
	}
}

// A table goes with its port; another one starts empty.
func TestHotTableIsExchanged(t *testing.T) {
	h := newHotRig(t, rigOptions{})
	h.mustStatus(wire.StatusOK, put("hot", "v"))
	h.heat("hot")
	h.mustBe("hot", true)
	other := &fakeTable{t: t, rig: h.rig, items: map[int]shard.Published{}, hits: map[int]uint64{3: 1000}}
	h.loop.UseHot(other)
	h.turns()
	if len(h.table.items) != 0 {
		t.Fatal("the old table still holds something")
	}
	h.table = other
	h.pass()
	h.mustBe("hot", true)
	if got := h.counter(board.CountKernelHits); got != 0 {
		t.Errorf("%d hits from a slot's former life", got)
	}
	// One that was given too late is not taken: the port may take its memory away.
	h.loop.UseHot(other)
	h.loop.hot.drop()
	h.pass()
	if len(other.items) != 0 {
		t.Error("published after the table was dropped")
	}
	h.loop.hot.end()
	h.loop.UseHot(other)
	h.pass()
	if len(other.items) != 0 {
		t.Error("published after the end")
	}
}

func TestHotNeedsALog(t *testing.T) {
	cfg := Config{Shards: 1, Hot: &fakeTable{}}
	r := newRig(t, rigOptions{})
	cfg.Port, cfg.Store, cfg.Board, cfg.Cookies = r.port, r.store, r.board, r.cookies
	if _, err := New(cfg); err == nil {
		t.Fatal("made without a log")
	}
}

func TestHotPassAllocatesNothing(t *testing.T) {
	h := newHotRig(t, rigOptions{})
	for n := range 5 {
		key := fmt.Sprint("hot", n)
		h.mustStatus(wire.StatusOK, put(key, "v"))
		h.heat(key)
	}
	h.table.refuse = true // the fake's map allocates
	if n := testing.AllocsPerRun(20, func() { h.loop.passHot() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
