package dataplane

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"gannet/board"
	"gannet/dataplane/port"
	"gannet/dataplane/porttest"
	"gannet/ring"
	"gannet/shard"
	"gannet/wire"
)

// shardKey returns a key of the given shard of two.
func shardKey(of int) string {
	for i := 0; ; i++ {
		key := fmt.Sprintf("key-%d", i)
		if wire.ShardOf(wire.KeyHash([]byte(key)), 2) == of {
			return key
		}
	}
}

// pair is two shards of one node.
func pair(t *testing.T) [2]*rig {
	b, x := newBoard(t, 2), NewExchange(2)
	var rigs [2]*rig
	for i := range rigs {
		rigs[i] = newRig(t, rigOptions{
			port:   porttest.Options{Strict: true, Queue: uint16(i), Replies: 4096},
			config: Config{Shard: i, Shards: 2, Board: b, Exchange: x},
		})
	}
	return rigs
}

func TestWrongShardIsHandedOver(t *testing.T) {
	rigs := pair(t)
	right, wrong := rigs[1], rigs[0]
	key := shardKey(1)
	for _, op := range []wire.Op{put(key, "v"), get(key)} {
		h := right.header()
		h.Shard = 1
		wrong.inject(datagram(h, op))
		wrong.turns()
		right.turns()
		answers := right.take()
		if len(answers) != 1 || answers[0].ops[0].Status != wire.StatusOK {
			t.Fatalf("%v: %+v", op.Code, answers)
		}
		if answers[0].RxQueue != 0 {
			t.Errorf("reply names queue %d, the request arrived on 0", answers[0].RxQueue)
		}
	}
	if wrong.counter(board.CountHandedOver) != 2 || right.counter(board.CountHandedIn) != 2 {
		t.Error("not counted")
	}
}

func TestHandOverWakesTheOtherShard(t *testing.T) {
	rigs := pair(t)
	woken := make(chan error, 1)
	go func() { woken <- rigs[1].port.Wait(time.Minute) }()
	h := rigs[1].header()
	h.Shard = 1
	rigs[0].inject(datagram(h, get(shardKey(1))))
	rigs[0].turns()
	if err := <-woken; err != nil {
		t.Fatal(err)
	}
}

func TestAFullHandOverQueueDropsAndCounts(t *testing.T) {
	rigs := pair(t)
	key := shardKey(1)
	for range 3000 {
		h := rigs[1].header()
		h.Shard = 1
		rigs[0].inject(datagram(h, get(key)))
		rigs[0].loop.Turn(rigs[0].now)
	}
	dropped := rigs[0].reason(ReasonHandOverFull)
	if dropped == 0 {
		t.Fatal("the queue never filled")
	}
	rigs[1].turns()
	if n := len(rigs[1].take()); uint64(n)+dropped+rigs[1].reason(ReasonHandInNoFrame) != 3000 {
		t.Errorf("%d answered, %d dropped", n, dropped)
	}
}

func TestKeysOfAnotherShardAreMoved(t *testing.T) {
	rigs := pair(t)
	if got := rigs[0].do(get(shardKey(1))); got.Status != wire.StatusMoved {
		t.Errorf("GET of another shard's key: %v", got.Status)
	}
	if got := rigs[0].do(put(shardKey(1), "v")); got.Status != wire.StatusMoved {
		t.Errorf("PUT of another shard's key: %v", got.Status)
	}
	h := rigs[0].header()
	h.Shard = 9
	rigs[0].inject(datagram(h, get("k")))
	rigs[0].turns()
	if got := rigs[0].take()[0].ops[0]; got.Status != wire.StatusMoved {
		t.Errorf("shard that does not exist: %v", got.Status)
	}
}

func members(ids ...uint64) []ring.Member {
	var list []ring.Member
	for _, id := range ids {
		list = append(list, ring.Member{
			ID: id, Name: fmt.Sprint("n", id), Addr: netip.MustParseAddrPort("10.0.0.1:9800"), Shards: 1, Weight: 1,
		})
	}
	return list
}

func publish(t *testing.T, b *board.Board, epoch uint32, ids ...uint64) *ring.Ring {
	t.Helper()
	next, err := ring.New(epoch, members(ids...))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Ring().Publish(epoch, next.AppendEncode(nil)); err != nil {
		t.Fatal(err)
	}
	return next
}

func TestThePublishedRingDecidesWhoseKeysTheyAre(t *testing.T) {
	b := newBoard(t, 1)
	rings := NewRings(b, func(err error) { t.Error(err) })
	r := newRig(t, rigOptions{config: Config{Board: b, Rings: rings}})
	if a := r.one(get("k")); a.Epoch != 0 {
		t.Errorf("epoch %d before any ring", a.Epoch)
	}
	both := publish(t, b, 5, 7, 8) // this node is 7
	rings.Look()
	owned, moved := 0, 0
	for i := range 200 {
		key := fmt.Sprint(i)
		a := r.one(put(key, "v"))
		want := wire.StatusOK
		if !both.Owns(7, wire.KeyHash([]byte(key))) {
			want = wire.StatusMoved
		}
		if a.ops[0].Status != want || a.Epoch != 5 || (want == wire.StatusMoved && a.ops[0].Token != 5) {
			t.Fatalf("key %s: %v token %d epoch %d, want %v", key, a.ops[0].Status, a.ops[0].Token, a.Epoch, want)
		}
		if want == wire.StatusOK {
			owned++
			if got := a.ops[0].Version.Epoch(); got != 5 {
				t.Fatalf("version of epoch %d", got)
			}
		} else {
			moved++
		}
	}
	if owned == 0 || moved == 0 {
		t.Fatalf("%d owned, %d moved: the ring was not asked", owned, moved)
	}
	if b.Node().Epoch() != 5 {
		t.Error("the epoch served is not on the board")
	}
}

func TestAShardsTurnBringsANewRing(t *testing.T) {
	b := newBoard(t, 1)
	rings := NewRings(b, func(err error) { t.Error(err) })
	r := newRig(t, rigOptions{config: Config{Board: b, Rings: rings}})
	done := make(chan struct{})
	var following sync.WaitGroup
	following.Go(func() { rings.Follow(done) })
	publish(t, b, 6, 7)
	for deadline := time.Now().Add(time.Minute); r.loop.epoch != 6; r.loop.Turn(r.now) {
		if time.Now().After(deadline) {
			t.Fatal("the ring was never adopted")
		}
	}
	close(done)
	following.Wait()
}

func TestABadRingKeepsTheOneBefore(t *testing.T) {
	b := newBoard(t, 1)
	var problems []error
	rings := NewRings(b, func(err error) { problems = append(problems, err) })
	publish(t, b, 3, 7)
	rings.Look()
	if err := b.Ring().Publish(4, []byte("no ring")); err != nil {
		t.Fatal(err)
	}
	rings.Look()
	rings.Look()
	if len(problems) != 1 || rings.Current().Epoch() != 3 {
		t.Errorf("problems %v, epoch %d", problems, rings.Current().Epoch())
	}
}

func TestMutationsAreLoggedWhileFollowed(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.mustStatus(wire.StatusOK, put("before", "v"))
	log := r.board.Log(0)
	log.Follow(true)
	stored := r.mustStatus(wire.StatusOK, put("k", "value"))
	r.mustStatus(wire.StatusOK, wire.Op{Code: wire.Delete, Key: []byte("k")})
	var kinds []board.MutationKind
	var m board.Mutation
	for {
		ok, err := log.PeekMutation(&m)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		kinds = append(kinds, m.Kind)
		if string(m.Key) != "k" || (m.Kind == board.MutationPut && (string(m.Value) != "value" || m.Version != uint64(stored.Version))) {
			t.Errorf("record %+v", m)
		}
		log.Pop()
	}
	if len(kinds) != 2 || kinds[0] != board.MutationPut || kinds[1] != board.MutationDelete {
		t.Errorf("kinds %v, want put and delete", kinds)
	}
	if n := r.counter(board.CountLogRecords); n != 2 {
		t.Errorf("%d records counted", n)
	}
}

func TestMutationsOfTheControlProcessAreApplied(t *testing.T) {
	r := newRig(t, rigOptions{})
	q := r.board.Apply(0)
	for i := range 100 {
		key := fmt.Appendf(nil, "key-%d", i)
		q.PushMutation(&board.Mutation{
			Kind: board.MutationPut, Version: uint64(i + 1), Hash: wire.KeyHash(key), Key: key, Value: []byte("applied"),
		})
	}
	q.PushMutation(&board.Mutation{Kind: board.MutationScanEnd, Key: []byte("x")})
	r.turns()
	got := r.mustStatus(wire.StatusOK, get("key-99"))
	if string(got.Value) != "applied" || got.Version != 100 {
		t.Errorf("got %q of version %d", got.Value, got.Version)
	}
	if r.counter(board.CountApplied) != 100 || r.reason(ReasonBadApply) != 1 {
		t.Error("not counted")
	}
}

// Several items of a home may together be longer than the room for results.
func TestAScanOfLargeValuesLosesNone(t *testing.T) {
	r := newRig(t, rigOptions{})
	scan := r.board.Scan(0)
	const items = 300
	value := strings.Repeat("v", r.loop.cfg.MaxValueBytes-8)
	if want := 2 * scan.Results.MaxRecord(); items*len(value) < 4*want {
		t.Fatalf("%d items of %d B are not much more than the room of %d B", items, len(value), want)
	}
	for i := range items {
		key := fmt.Append(nil, "key-", i)
		for !r.board.Apply(0).PushMutation(&board.Mutation{Kind: board.MutationPut, Version: uint64(i + 1), Hash: wire.KeyHash(key), Key: key, Value: []byte(value)}) {
			r.loop.Turn(r.now)
		}
	}
	scan.Ask(board.ScanRequest{ID: 9, Spans: []board.Span{{From: 0, To: ^uint64(0)}}})
	seen := map[string]int{}
	var m board.Mutation
	for turn := range 100_000 {
		r.loop.Turn(r.now)
		if turn%50 != 0 {
			continue // the reader is slow: there is little room most of the time
		}
		ok, err := scan.Results.PeekMutation(&m)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			continue
		}
		if m.Kind == board.MutationScanEnd {
			break
		}
		if m.Kind == board.MutationPut {
			seen[string(m.Key)]++
		}
		scan.Results.Pop()
	}
	if len(seen) != items || m.Kind != board.MutationScanEnd {
		t.Errorf("%d of %d items were shown", len(seen), items)
	}
	for key, n := range seen {
		if n != 1 {
			t.Errorf("%s was shown %d times", key, n)
		}
	}
}

func TestAScanShowsEveryItemOnce(t *testing.T) {
	r := newRig(t, rigOptions{})
	const items = 500
	for i := range items {
		r.mustStatus(wire.StatusOK, put(fmt.Sprint("key-", i), strings.Repeat("v", i)))
	}
	scan := r.board.Scan(0)
	scan.Ask(board.ScanRequest{ID: 9, Spans: []board.Span{{From: 0, To: ^uint64(0)}}})
	seen := map[string]int{}
	var m board.Mutation
	for range 1000 {
		r.loop.Turn(r.now)
		ok, err := scan.Results.PeekMutation(&m)
		for ; ok && err == nil; ok, err = scan.Results.PeekMutation(&m) {
			if m.Kind == board.MutationScanBegin {
				if m.Version != 9 || len(seen) > 0 {
					t.Fatalf("scan %d begins after %d items", m.Version, len(seen))
				}
				scan.Results.Pop()
				continue
			}
			if m.Kind == board.MutationScanEnd {
				if m.Version != 9 || len(seen) != items {
					t.Fatalf("scan %d ended with %d of %d items", m.Version, len(seen), items)
				}
				for key, n := range seen {
					if n != 1 {
						t.Errorf("%s was shown %d times", key, n)
					}
				}
				scan.Results.Pop()
				r.turns()
				if scan.Results.Filled() != 0 {
					t.Error("the scan goes on after its end")
				}
				return
			}
			seen[string(m.Key)]++
			scan.Results.Pop()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("the scan never ended: %d items", len(seen))
}

func TestHeartbeatsAndStamps(t *testing.T) {
	stamps := 0
	r := newRig(t, rigOptions{config: Config{Stamp: func(int64) { stamps++ }}})
	for range 100 {
		r.loop.Turn(r.now)
		r.now += beatNanos / 10
	}
	if stamps < 9 || stamps > 11 {
		t.Errorf("%d stamps in ten intervals", stamps)
	}
	if age := r.now - r.board.Heartbeat(0).Nanos(); age > beatNanos+beatNanos/10 {
		t.Errorf("heartbeat is %d ns old", age)
	}
}

// TestRunOnItsCPU runs a loop as the data plane does: on one thread, on one CPU,
// until it is stopped.
func TestRunOnItsCPU(t *testing.T) {
	r := newRig(t, rigOptions{port: porttest.Options{NowNanos: port.BootNanos}, config: Config{SpinNanos: 20_000}})
	r.now = port.BootNanos()
	cookie := r.cookies.Make(r.from.IP, r.from.Port, r.now)
	var stop Stop
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.loop.Run(&stop, 0, port.BootNanos); err != nil {
			t.Error(err)
		}
	})
	h := wire.RequestHeader{RequestID: 1, SessionID: 1, Cookie: cookie}
	if !r.port.Inject(datagram(h, get("k")), r.from) {
		t.Fatal("no frame")
	}
	for deadline := time.Now().Add(time.Minute); ; {
		if _, _, ok := r.port.Take(); ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no answer")
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", r.board.Heartbeat(0).Thread()))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(status), "Cpus_allowed_list:\t0\n") {
		t.Errorf("the shard's thread may run elsewhere:\n%s", status)
	}
	stop.Set()
	r.port.Wake()
	running.Wait()
	if c := r.port.Census(); c.Held != 0 {
		t.Errorf("%d frames held after the drain", c.Held)
	}
}

func TestDrainGivesEverythingBack(t *testing.T) {
	r := newRig(t, rigOptions{port: porttest.Options{Strict: true}})
	r.storeLong("k", pattern(100_000))
	for range 3 {
		h := r.header()
		h.GrantOffsetMicros, h.GrantRateKbit = 900_000, 1000
		r.inject(datagram(h, get("k")))
		r.inject(datagram(h, get("none")))
	}
	r.loop.Turn(r.now)
	if r.loop.heldFrames() == 0 {
		t.Fatal("nothing is held: the test would prove nothing")
	}
	if err := r.loop.drain(func() int64 { r.now += 1e6; return r.now }); err != nil {
		t.Fatal(err)
	}
	if c := r.port.Census(); c.Held != 0 || !c.Balanced() || r.store.Stats().Pins != 0 {
		t.Errorf("after the drain: %+v, %d pins", c, r.store.Stats().Pins)
	}
}

func TestIdleSpinsLongerWhenItPays(t *testing.T) {
	var d idle
	d.init(64_000)
	now := int64(1e12)
	for range 8 {
		for !d.sleep(now) {
			now += 1000
		}
		d.slept()
	}
	if d.spinNanos > 1000 {
		t.Errorf("after eight sleeps it still polls for %d ns", d.spinNanos)
	}
	for range 8 {
		d.sleep(now)
		d.busy()
	}
	if d.spinNanos != 64_000 {
		t.Errorf("after eight good polls it polls for %d ns, want the most", d.spinNanos)
	}
}

// TestIdleLeavesACrowdedCPU: when others run while it polls, it sleeps at once for a
// while, and then tries again.
func TestIdleLeavesACrowdedCPU(t *testing.T) {
	const most = 64_000
	var d idle
	d.init(most)
	now := int64(1e12)
	poll := func(gapNanos int64) (sleeps bool) {
		now += gapNanos
		d.late(now)
		return d.sleep(now)
	}
	if poll(0) || poll(1000) {
		t.Fatal("it does not poll on a CPU of its own")
	}
	if !poll(crowdGapNanos) {
		t.Fatal("it polls on although somebody else ran")
	}
	d.slept()
	if !poll(1000) {
		t.Error("it polls again at once")
	}
	d.slept()
	now += crowdNanos
	if poll(1000) {
		t.Error("it never polls again")
	}
	d.busy() // what ran meanwhile brought a datagram: that was no crowd
	if poll(crowdGapNanos) {
		t.Error("the kernel's receive thread counts as a crowd")
	}
}

func TestLoadIsTheBusyShare(t *testing.T) {
	var d load
	now := int64(1e12)
	for i := range 2000 {
		d.turn(now, i%4 != 0) // three of four turns of 10 µs work
		now += 10_000
	}
	if share := float64(d.figure) / 65535; share < 0.74 || share > 0.76 {
		t.Errorf("load %.3f, want 0.75", share)
	}
}

var _ shard.Log = (*Log)(nil)

// TestLateTurns: a gap counts unless the loop slept in it.
func TestLateTurns(t *testing.T) {
	var d idle
	d.init(1000)
	for i, step := range []struct {
		nowNanos int64
		slept    bool
		late     bool
	}{
		{nowNanos: 5_000_000},
		{nowNanos: 5_000_000 + lateTurnNanos},
		{nowNanos: 5_000_001 + 2*lateTurnNanos, late: true},
		{nowNanos: 9_000_000, slept: true},
		{nowNanos: 9_500_000, late: true},
	} {
		if step.slept {
			d.slept()
		}
		if got := d.late(step.nowNanos); got != step.late {
			t.Errorf("turn %d: late %v, want %v", i, got, step.late)
		}
	}
}
