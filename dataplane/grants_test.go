package dataplane

import (
	"net/netip"
	"testing"

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

// heatKey asks for a key until it stands out, and has a pass follow.
func heatKey(r *rig, key string) {
	ops := make([]wire.Op, 20)
	for i := range ops {
		ops[i] = wire.Op{Code: wire.Get, Key: []byte(key), Flags: wire.OpNoValue}
	}
	for range 40 * 64 / len(ops) {
		r.one(ops...)
	}
	r.now += grantInterval
	r.turns()
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
	heatKey(r, "hot")
	if cached("hot") {
		t.Error("no reply has carried the grant yet")
	}
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
	for _, row := range []struct {
		share float64
		count uint64
		want  uint16
	}{{1, 7, 0}, {1.0 / 600, 100, 0}, {1.0 / 512, 8, 1000}, {1.0 / 256, 8, 1800}, {1.0 / 16, 1000, 5000}, {1, 1000, 5000}} {
		if got := grantMillis(&shard.Hot{Hash: 1, Share: row.share, Count: row.count}); got != row.want {
			t.Errorf("share %v: %d ms, want %d", row.share, got, row.want)
		}
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
