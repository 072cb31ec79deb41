package dataplane

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"gannet/board"
	"gannet/dataplane/port"
	"gannet/dataplane/porttest"
	"gannet/shard"
	"gannet/wire"
)

// zeroCopyPort is a port in memory that takes one descriptor a packet, as most
// drivers do in zero-copy.
func zeroCopyPort() porttest.Options {
	return porttest.Options{InPlace: true, Strict: true, MaxSegments: 1}
}

func roomyStore() shard.Config {
	return shard.Config{MemoryBytes: 8 << 20, HeaderRoomBytes: port.HeaderRoomBytes}
}

func TestLargeValuesLeaveInPlace(t *testing.T) {
	r := newRig(t, rigOptions{port: zeroCopyPort(), store: roomyStore()})
	sizes := []int{1, 100, 1023, 1024, 1300, 1360}
	for _, n := range sizes {
		key, value := fmt.Sprint("k", n), string(pattern(n))
		r.mustStatus(wire.StatusOK, put(key, value))
		if got := r.mustStatus(wire.StatusOK, get(key)); string(got.Value) != value {
			t.Fatalf("%d bytes: got %d others", n, len(got.Value))
		}
	}
	r.turns()
	for id, want := range map[board.Counter]uint64{
		board.CountInPlaceSent: 3, board.CountValueBytesInPlace: 1024 + 1300 + 1360,
		board.CountValueBytesCopied: 1 + 100 + 1023, board.CountLargeBytesCopied: 0, board.CountRoomBusy: 0, board.CountSlotsInFlight: 0,
	} {
		if got := r.counter(id); got != want {
			t.Errorf("%s = %d, want %d", id, got, want)
		}
	}
}

// TestNoRoomWithoutAskingForIt: a store without header room copies, whatever the port
// can do; so does a port that cannot send in place, whatever the store has.
func TestNoRoomWithoutAskingForIt(t *testing.T) {
	plain := roomyStore()
	plain.HeaderRoomBytes = 0
	for name, o := range map[string]rigOptions{
		"no room in slots":     {port: zeroCopyPort(), store: plain},
		"port not in place":    {port: porttest.Options{Strict: true}, store: roomyStore()},
		"switched off by hand": {port: zeroCopyPort(), store: roomyStore(), config: Config{TailBytes: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, o)
			value := string(pattern(1200))
			r.mustStatus(wire.StatusOK, put("k", value))
			if got := r.mustStatus(wire.StatusOK, get("k")); string(got.Value) != value {
				t.Fatal("wrong value")
			}
			if n := r.counter(board.CountValueBytesCopied); n != 1200 || r.counter(board.CountInPlaceSent) != 0 {
				t.Errorf("%d bytes copied, %d replies in place", n, r.counter(board.CountInPlaceSent))
			}
		})
	}
}

// TestItemInFlightFallsBack: the slot's room serves one reply; the next one takes a
// second descriptor where there is one, else it copies.
func TestItemInFlightFallsBack(t *testing.T) {
	for segments, want := range map[int]board.Counter{1: board.CountLargeBytesCopied, 2: board.CountValueBytesTail} {
		opt := zeroCopyPort()
		opt.MaxSegments, opt.LateFlushes = segments, 5
		r := newRig(t, rigOptions{port: opt, store: roomyStore()})
		value := string(pattern(1300))
		r.mustStatus(wire.StatusOK, put("k", value))
		const copies = 8
		for range copies {
			r.inject(datagram(r.header(), get("k")))
		}
		r.turns()
		answers := r.take()
		for _, a := range answers {
			if string(a.ops[0].Value) != value {
				t.Fatal("wrong value")
			}
		}
		if len(answers) != copies || r.counter(board.CountInPlaceSent) != 1 || r.counter(board.CountRoomBusy) != copies-1 || r.counter(want) != (copies-1)*1300 {
			t.Errorf("%d segments: %d answers, %d in place, %d met a slot in flight, %s %d", segments, len(answers),
				r.counter(board.CountInPlaceSent), r.counter(board.CountRoomBusy), want, r.counter(want))
		}
		if got := r.store.RoomsTaken(); got != 1 {
			t.Errorf("%d slots in flight, want 1", got)
		}
		for range 10 {
			r.loop.Turn(r.now)
		}
		if r.store.RoomsTaken() != 0 || r.store.Stats().Pins != 0 {
			t.Errorf("%d slots and %d pins did not come back", r.store.RoomsTaken(), r.store.Stats().Pins)
		}
	}
}

// TestFirstPartOfALongValueLeavesInPlace: parts in the middle of a value have other
// parts in front of them, not room.
func TestFirstPartOfALongValueLeavesInPlace(t *testing.T) {
	for segments, other := range map[int]board.Counter{1: board.CountLargeBytesCopied, 2: board.CountValueBytesTail} {
		opt := zeroCopyPort()
		opt.MaxSegments = segments
		r := newRig(t, rigOptions{port: opt, store: roomyStore()})
		value := pattern(5120)
		w := shard.Write{Op: shard.Put, Hash: wire.KeyHash([]byte("k")), Key: []byte("k"), Value: value}
		if r.store.Write(&w, r.now); w.Status != shard.OK {
			t.Fatal(w.Status)
		}
		got := make([]byte, len(value))
		for _, a := range r.ask(get("k")) {
			for _, op := range a.ops {
				copy(got[op.OffsetBytes:], op.Value)
			}
		}
		if !bytes.Equal(got, value) {
			t.Fatalf("%d segments: wrong value", segments)
		}
		if r.counter(board.CountValueBytesInPlace) != 1024 || r.counter(other) != 5120-1024 {
			t.Errorf("%d segments: %d bytes in place, %s %d", segments, r.counter(board.CountValueBytesInPlace), other, r.counter(other))
		}
	}
}

// flight is a shard on an adversarial port, with what the test knows of it.
type flight struct {
	*rapidRig
	values  map[string][]string // all that ever stood under a key
	random  *rand.Rand
	asked   map[uint64]question
	version int
}

// question is a GET under way, and which of its key's values was the last then.
type question struct {
	key  string
	from int
}

// newFlight draws a port whose completions come late, in any order, sometimes not.
func newFlight(t *rapid.T) *flight {
	f := &flight{values: map[string][]string{}, asked: map[uint64]question{}, random: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))}
	opt := zeroCopyPort()
	opt.MaxSegments = rapid.IntRange(1, 2).Draw(t, "segments")
	opt.Frames = rapid.IntRange(16, 128).Draw(t, "frames")
	opt.SendAtMost = rapid.IntRange(0, 3).Draw(t, "send at most")
	opt.LoseAtReset = rapid.Bool().Draw(t, "lose at reset")
	opt.NextCompletion = func(n int) int { return f.random.IntN(2*n) - n }
	f.rapidRig = newRapidRigWith(t, opt, roomyStore())
	return f
}

// put changes a key in the store, behind the loop's back: between turns, as the
// apply queue does.
func (f *flight) put(key string) {
	f.version++
	value := string(pattern(900+f.random.IntN(460))) + fmt.Sprint(f.version)
	value = value[:min(len(value), 1360)]
	b := []byte(value)
	b[0], b[len(b)-1] = byte(f.version), byte(f.version>>8)
	value = string(b)
	w := shard.Write{Op: shard.Put, Hash: wire.KeyHash([]byte(key)), Key: []byte(key), Value: b, TTLSeconds: uint32(f.random.IntN(3))}
	if f.store.Write(&w, f.now); w.Status == shard.OK {
		f.values[key] = append(f.values[key], value)
	}
}

func (f *flight) ask(key string) {
	h := f.header()
	if f.port.Inject(datagram(h, get(key)), f.from) {
		f.asked[h.RequestID] = question{key, len(f.values[key]) - 1}
	}
}

// replies looks for what left among the values that stood under the key since it was
// asked for: a request may wait while the port takes nothing.
func (f *flight) replies() {
	for _, a := range f.take() {
		q, asked := f.asked[a.RequestID]
		delete(f.asked, a.RequestID)
		for _, op := range a.ops {
			if asked && op.Status == wire.StatusOK && !slices.Contains(f.values[q.key][q.from:], string(op.Value)) {
				f.rt.Fatalf("request %d: got a value of %d bytes that never stood under %s", a.RequestID, len(op.Value), q.key)
			}
		}
	}
}

// TestSlotsInFlight: whatever the completions do, a slot with the port is neither
// evicted, overwritten, moved nor expired: the strict port hashes it at Send and at
// its completion. When all is quiet, and after a port is lost, every slot is back.
func TestSlotsInFlight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFlight(t)
		defer f.end()
		keys := make([]string, rapid.IntRange(1, 40).Draw(t, "keys"))
		for i := range keys {
			keys[i] = fmt.Sprint("key-", i)
			f.put(keys[i])
		}
		key := rapid.SampledFrom(keys)
		t.Repeat(map[string]func(*rapid.T){
			"ask": func(t *rapid.T) {
				for range rapid.IntRange(1, 8).Draw(t, "requests") {
					f.ask(key.Draw(t, "key"))
				}
				f.turn()
			},
			"put": func(t *rapid.T) { f.put(key.Draw(t, "key")) },
			"delete": func(t *rapid.T) {
				k := key.Draw(t, "key")
				w := shard.Write{Op: shard.Delete, Hash: wire.KeyHash([]byte(k)), Key: []byte(k)}
				f.store.Write(&w, f.now)
			},
			"flood": func(*rapid.T) { // evicts, and moves slabs between classes
				before := f.inFlight(keys)
				f.flood()
				f.mustStay(before)
			},
			"expire": func(*rapid.T) {
				f.now += int64(3e9)
				f.turn()
			},
			"stall": func(t *rapid.T) { f.port.Stall(rapid.Bool().Draw(t, "stalled")) },
			"reset": func(*rapid.T) { f.exchangePort() },
			"":      func(*rapid.T) { f.check() },
		})
		f.land()
	})
}

// turn lets the loop work, and compares what left at once.
func (f *flight) turn() {
	f.loop.Turn(f.now)
	f.now += 1000
	f.replies()
}

// inFlight are the keys whose slots are with the port, by handle.
func (f *flight) inFlight(keys []string) map[string]shard.Handle {
	slots := map[string]shard.Handle{}
	for _, key := range keys {
		h := f.find(key)
		if h == 0 || f.store.HeaderRoom(h) == 0 {
			continue
		}
		if f.store.TakeRoom(h) {
			f.store.ReturnRoom(h)
			continue
		}
		slots[key] = h
	}
	return slots
}

func (f *flight) find(key string) shard.Handle {
	g := shard.Get{Hash: wire.KeyHash([]byte(key)), Key: []byte(key), NoTouch: true}
	f.store.Get(&g, f.now)
	return g.Item.Handle
}

// mustStay: eviction and slab moves pass items in flight over.
func (f *flight) mustStay(slots map[string]shard.Handle) {
	for key, h := range slots {
		if got := f.find(key); got != h {
			f.rt.Fatalf("%s was in slot %d, in flight; now it is in %d", key, h, got)
		}
	}
}

func (f *flight) flood() {
	size := 700 + f.random.IntN(3000)
	for i := range 600 {
		key := fmt.Append(nil, "flood-", f.version, "-", i)
		w := shard.Write{Op: shard.Put, Hash: wire.KeyHash(key), Key: key, Value: pattern(size)}
		f.store.Write(&w, f.now)
	}
	f.version++
}

func (f *flight) check() {
	c := f.port.Census()
	if !c.Balanced() || c.Held != f.loop.heldFrames() {
		f.rt.Fatalf("census %+v, the loop holds %d", c, f.loop.heldFrames())
	}
	if err := f.store.Integrity(true); err != nil {
		f.rt.Fatal(err)
	}
}

// exchangePort resets the device and puts another port in the place of the old one,
// as the ladder does.
func (f *flight) exchangePort() {
	f.port.Reset()
	old := f.port.Census()
	opt := zeroCopyPort()
	opt.NowNanos = func() int64 { return f.now }
	opt.NextCompletion = func(n int) int { return f.random.IntN(2*n) - n }
	f.loop.takePort(nil)
	f.port = porttest.New(opt)
	f.loop.takePort(f.port)
	clear(f.asked)
	if f.store.RoomsTaken() != 0 || f.store.Stats().Pins != 0 {
		f.rt.Fatalf("after a reset with %d slots in flight %d slots and %d pins did not come back", old.Slots, f.store.RoomsTaken(), f.store.Stats().Pins)
	}
}

// land lets everything come home.
func (f *flight) land() {
	f.port.Stall(false)
	for range 3000 {
		f.turn()
		if c := f.port.Census(); c.Tx+c.Completion+c.Held == 0 && f.store.Stats().Pins == 0 {
			break
		}
	}
	if c := f.port.Census(); c.Slots != 0 || f.store.RoomsTaken() != 0 || f.store.Stats().Pins != 0 {
		f.rt.Fatalf("all is quiet, and %d slots are with the port, %d rooms and %d pins taken", c.Slots, f.store.RoomsTaken(), f.store.Stats().Pins)
	}
	f.check()
}
