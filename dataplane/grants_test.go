package dataplane

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"gannet/board"
	"gannet/ring"
	"gannet/shard"
	"gannet/wire"
)

// grantRig is a rig that leads every key of a ring, or none.
func grantRig(t *testing.T, leads bool) *rig {
	t.Helper()
	b := newBoard(t, 1)
	publishMember(t, b.Ring().Publish, 1, leads)
	return newRig(t, rigOptions{config: Config{Board: b, Rings: NewRings(b, func(err error) { t.Error(err) })}})
}

// publishMember publishes a ring in which the rig's node is alone, or the follower of
// a member that leads nearly everything.
func publishMember(t *testing.T, publish func(uint32, []byte) error, epoch uint32, leads bool) {
	t.Helper()
	members := []ring.Member{{ID: 7, Name: "own", Weight: 1, Shards: 1, Addr: netip.MustParseAddrPort("10.0.0.7:9800")}}
	if !leads {
		members = append(members, ring.Member{ID: 8, Name: "other", Weight: 64, Shards: 1, Addr: netip.MustParseAddrPort("10.0.0.8:9800")})
	}
	r, err := ring.New(epoch, members)
	if err != nil {
		t.Fatal(err)
	}
	if err := publish(epoch, r.AppendEncode(nil)); err != nil {
		t.Fatal(err)
	}
}

// heatKey asks for a key until it stands out.
func heatKey(r *rig, key string) {
	ops := make([]wire.Op, 20)
	for i := range ops {
		ops[i] = wire.Op{Code: wire.Get, Key: []byte(key), Flags: wire.OpNoValue}
	}
	for range 3 { // and not too often for each to be counted
		r.one(ops...)
	}
}

func granted(op wire.ReplyOp) bool { return op.Flags&wire.ReplyL1Grant != 0 && op.L1GrantMillis != 0 }

func TestGrantsAreForHotKeys(t *testing.T) {
	r := grantRig(t, true)
	r.mustStatus(wire.StatusOK, put("hot", "v"))
	r.mustStatus(wire.StatusOK, put("cold", "v"))
	if granted(r.do(get("hot"))) {
		t.Fatal("granted before it was hot")
	}
	heatKey(r, "hot")
	for name, op := range map[string]wire.Op{
		"plain": get("hot"), "lease": {Code: wire.Get, Key: []byte("hot"), Flags: wire.OpLease},
	} {
		if got := r.do(op); !granted(got) || got.L1GrantMillis < leastGrantMillis || got.L1GrantMillis > mostGrantMillis {
			t.Errorf("%s: a hot key's grant is %d ms", name, got.L1GrantMillis)
		}
	}
	if granted(r.do(get("cold"))) {
		t.Error("a cold key is granted")
	}
	if got := r.do(get("absent")); granted(got) {
		t.Error("a miss is granted")
	}
}

func TestFollowersGrantNothing(t *testing.T) {
	r := grantRig(t, false)
	r.store.SetEpoch(1)
	key := "hot" // led by the other member, as the answer below would tell
	if r.loop.cfg.Rings.Current().Owns(7, wire.KeyHash([]byte(key))) {
		t.Fatal("choose another key")
	}
	m := shard.Mutation{Kind: shard.RecordPut, Hash: wire.KeyHash([]byte(key)), Version: 1<<40 | 9, Key: []byte(key), Value: []byte("v")}
	if status := r.store.Apply(&m, r.now); status != shard.OK {
		t.Fatal(status)
	}
	heatKey(r, key)
	if got := r.do(get(key)); got.Status != wire.StatusOK || granted(got) {
		t.Fatalf("a follower answers %v, granted %v", got.Status, granted(got))
	}
}

func TestNoGrantPastTheFence(t *testing.T) {
	r := grantRig(t, true)
	r.mustStatus(wire.StatusOK, put("hot", "v"))
	r.board.Fence().Set(r.now)
	heatKey(r, "hot")
	if granted(r.do(get("hot"))) {
		t.Fatal("granted past the fence: somebody else may lead")
	}
}

// TestGrantsEndWithWrites: a key that is written often is not granted; once the writes
// end, it is again.
func TestGrantsEndWithWrites(t *testing.T) {
	r := grantRig(t, true)
	r.mustStatus(wire.StatusOK, put("hot", "v"))
	heatKey(r, "hot")
	for i := range 3 * grantWritesSecond {
		r.mustStatus(wire.StatusOK, put("hot", "v"))
		if i < 3 && !granted(r.do(get("hot"))) {
			t.Fatalf("%d writes end the grant already", i+1)
		}
	}
	if granted(r.do(get("hot"))) {
		t.Fatal("a key written all the time is granted")
	}
	r.now += 4e9
	heatKey(r, "hot")
	if !granted(r.do(get("hot"))) {
		t.Fatal("not granted once the writes have ended")
	}
}

// TestMayBeCached: a write is known to have copies about for as long as a grant may
// last, also one given by a predecessor, and no longer.
func TestMayBeCached(t *testing.T) {
	r := grantRig(t, true)
	r.turns()
	cached := func(key string) bool { return r.loop.grants.wrote(wire.KeyHash([]byte(key))) }
	if !cached("any") {
		t.Error("a predecessor may have granted it, just before the start")
	}
	r.now += cachedNanos
	r.turns()
	if cached("any") {
		t.Error("nobody can hold a copy")
	}
	r.mustStatus(wire.StatusOK, put("hot", "v"))
	if cached("hot") {
		t.Error("no reply has carried a grant")
	}
	heatKey(r, "hot")
	if !granted(r.do(get("hot"))) || !cached("hot") {
		t.Error("a copy may be about")
	}
	r.now += cachedNanos - 1e6
	r.turns()
	if !cached("hot") {
		t.Error("the copy may still be about")
	}
	r.now += 60e9 // cool
	for range 8 {
		r.mustStatus(wire.StatusOK, put("other", "v"))
		r.now += 9e9
		r.turns()
	}
	if cached("hot") {
		t.Error("the copy is long gone")
	}
	publishMember(t, r.board.Ring().Publish, 2, true)
	r.loop.cfg.Rings.Look()
	r.turns()
	if !cached("any") {
		t.Error("the key's leader before may have granted it")
	}
}

func TestGrantTimes(t *testing.T) {
	for ageSeconds, want := range map[uint32]uint16{0: 1000, 1: 1000, 2: 2000, 4: 4000, 5: 5000, 6: 5000, 1 << 31: 5000, 1<<32 - 1: 5000} {
		if got := grantMillis(ageSeconds); got != want {
			t.Errorf("an item %d s old: %d ms, want %d", ageSeconds, got, want)
		}
	}
}

// TestGrantsGrowWithAge of the item, as replies of each kind carry them.
func TestGrantsGrowWithAge(t *testing.T) {
	r := grantRig(t, true)
	r.mustStatus(wire.StatusOK, put("hot", "v"))
	heatKey(r, "hot")
	for _, row := range []struct {
		afterSeconds int64
		want         uint16
	}{{0, 1000}, {3, 3000}, {3, 5000}, {3, 5000}} {
		r.now += row.afterSeconds * 1e9
		heatKey(r, "hot")
		for name, op := range map[string]wire.Op{"plain": get("hot"), "lease": {Code: wire.Get, Key: []byte("hot"), Flags: wire.OpLease}} {
			if got := r.do(op); !granted(got) || got.L1GrantMillis != row.want {
				t.Errorf("%s, %d s old: granted %v for %d ms, want %d", name, got.AgeSeconds, granted(got), got.L1GrantMillis, row.want)
			}
		}
	}
}

// TestNoGrantIsForgotten: whatever is asked for and written, and however full the table
// is, a write of which a copy may be about is known as such.
func TestNoGrantIsForgotten(t *testing.T) {
	r := grantRig(t, true)
	r.turns()
	rapid.Check(t, func(t *rapid.T) {
		r.now += 2 * cachedNanos
		r.turns()
		g := &r.loop.grants
		until := map[uint64]int64{}
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			// Keys of two sets, many more than there is room for.
			hash := uint64(rapid.IntRange(1, 60).Draw(t, "key"))*grantSets*128 + uint64(rapid.IntRange(0, 1).Draw(t, "set"))
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				r.now += rapid.Int64Range(0, cachedNanos).Draw(t, "nanos")
				r.turns()
			case 1, 2:
				if !g.wrote(hash) && r.now < until[hash] {
					t.Fatalf("a copy of %x may be about", hash)
				}
			default:
				for range heatFromCount {
					if millis := g.hint(hash, 9); millis != 0 {
						until[hash] = r.now + int64(millis)*1e6
					}
				}
			}
		}
	})
}

// TestHundredsOfKeysAreGranted by one shard, and each is found again.
func TestHundredsOfKeysAreGranted(t *testing.T) {
	r := grantRig(t, true)
	r.turns()
	g := &r.loop.grants
	ask := func(key int) (granted bool) {
		return g.hint(wire.KeyHash(fmt.Appendf(nil, "key %d", key)), 9) != 0
	}
	for range 2 * heatFromCount {
		for key := range 800 {
			ask(key)
		}
		r.now += grantSweepNanos // so that each counts
		r.turns()
	}
	n := 0
	for key := range 800 {
		if ask(key) {
			n++
		}
	}
	if n < 700 {
		t.Fatalf("%d of 800 keys are granted", n)
	}
	r.now += 20 * cachedNanos
	for range grantSets { // all is swept
		r.now += grantSweepNanos
		r.turns()
	}
	if g.marks != [grantSets]uint64{} {
		t.Error("keys stay though nobody asks for them")
	}
}

// TestTheLogSaysWhatMayBeCached: writes of which a copy may be about are marked, and no
// others.
func TestTheLogSaysWhatMayBeCached(t *testing.T) {
	r := grantRig(t, true)
	log := r.board.Log(0)
	log.Follow(true)
	r.turns()
	r.now += cachedNanos // nobody can hold what a predecessor granted
	r.turns()
	r.mustStatus(wire.StatusOK, put("hot", "v"))
	heatKey(r, "hot")
	if !granted(r.do(get("hot"))) {
		t.Fatal("not granted")
	}
	r.mustStatus(wire.StatusOK, put("hot", "w"))
	r.mustStatus(wire.StatusOK, put("cold", "w"))
	var marks []bool
	var m board.Mutation
	for {
		ok, err := log.PeekMutation(&m)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		if m.Kind == board.MutationPut {
			marks = append(marks, m.Cached)
		}
		log.Pop()
	}
	if len(marks) != 3 || marks[0] || !marks[1] || marks[2] {
		t.Errorf("puts before the grant, after it, and of another key are marked %v", marks)
	}
}
