package dataplane

import (
	"testing"

	"pgregory.net/rapid"

	"gannet/board"
	"gannet/dataplane/port"
	"gannet/dataplane/porttest"
	"gannet/wire"
)

func TestLateRequestsAreShedNotServed(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.mustStatus(wire.StatusOK, put("k", "v"))
	h := r.header()
	h.BudgetMicros = 500
	r.inject(datagram(h, put("k", "late")))
	r.now += 500_000
	r.turns()
	if got := r.take()[0].ops[0]; got.Status != wire.StatusTooLate || got.Code != 0 {
		t.Fatalf("answered %v %v, want TOO_LATE for the datagram", got.Code, got.Status)
	}
	if got := r.mustStatus(wire.StatusOK, get("k")); string(got.Value) != "v" {
		t.Errorf("a late PUT was done: %q", got.Value)
	}
}

func TestOnlySomeLateRequestsAreAnswered(t *testing.T) {
	r := newRig(t, rigOptions{})
	for range 50 {
		h := r.header()
		h.BudgetMicros = 100
		r.inject(datagram(h, get("k")))
	}
	r.now += 1e6
	r.loop.Turn(r.now)
	if n := len(r.take()); n != lateRepliesTurn {
		t.Errorf("%d late requests answered in a turn, want %d", n, lateRepliesTurn)
	}
	if r.reason(ReasonLateAnswered)+r.reason(ReasonLateDropped) != 50 {
		t.Error("some late requests are not counted")
	}
}

func TestWhileBehindHalfTheBudgetMustBeLeft(t *testing.T) {
	r := newRig(t, rigOptions{port: porttest.Options{Frames: 2048, FillFrames: 1024}})
	send := func(budgetMicros uint32) {
		h := r.header()
		h.BudgetMicros = budgetMicros
		r.inject(datagram(h, get("k")))
	}
	for range behindFullBatches * batchDatagrams {
		send(0)
	}
	send(1000)
	r.now += 600_000 // 600 µs: more than half
	for range behindFullBatches {
		r.loop.Turn(r.now)
	}
	r.take()
	r.loop.Turn(r.now) // not full any more, so no longer behind
	if got := r.take()[0].ops[0].Status; got != wire.StatusMiss {
		t.Errorf("after the backlog: %v, want the request served", got)
	}
	for range behindFullBatches * batchDatagrams {
		send(1000)
	}
	r.now += 600_000
	for range behindFullBatches - 1 {
		r.loop.Turn(r.now)
	}
	if r.reason(ReasonLateAnswered)+r.reason(ReasonLateDropped) != 0 {
		t.Fatal("shed before the backlog lasted")
	}
	r.loop.Turn(r.now)
	if r.reason(ReasonLateAnswered)+r.reason(ReasonLateDropped) != batchDatagrams {
		t.Error("a backlog that lasts did not shed what has under half of its budget left")
	}
}

// TestGoodputUnderTwiceTheLoad drives the loop in simulated time: a datagram costs
// 10 µs when it is served and 1 µs when it is shed, and they come twice as fast as
// they can be served.
func TestGoodputUnderTwiceTheLoad(t *testing.T) {
	const serveNanos, shedNanos, gapNanos, budgetMicros = 10_000, 1_000, 5_000, 5_000
	r := newRig(t, rigOptions{port: porttest.Options{Frames: 8192, FillFrames: 4096, Replies: 1 << 16}})
	arrived, good, next := map[uint64]int64{}, 0, r.now
	end := r.now + 400e6
	for r.now < end {
		for now := r.now; next <= now; next += gapNanos {
			h := r.header()
			h.BudgetMicros = budgetMicros
			r.now = next
			if r.port.Inject(datagram(h, get("k")), r.from) {
				arrived[h.RequestID] = next
			}
			r.now = now
		}
		worked := r.loop.Turn(r.now)
		for _, a := range r.take() {
			if a.ops[0].Status != wire.StatusMiss {
				r.now += shedNanos
				continue
			}
			r.now += serveNanos
			if r.now-arrived[a.RequestID] <= budgetMicros*1000 {
				good++
			}
		}
		if !worked {
			r.now += shedNanos
		}
	}
	peak := 400e6 / serveNanos
	if share := float64(good) / peak; share < 0.8 {
		t.Errorf("goodput at twice the load is %.2f of the peak", share)
	}
}

func TestUnprovenSendersNeverGetMoreThanTheySent(t *testing.T) {
	r := newRig(t, rigOptions{port: porttest.Options{Frames: 512}})
	r.mustStatus(wire.StatusOK, put("k", "some value that is a little longer than nothing"))
	valid := [][]byte{}
	for _, op := range []wire.Op{
		get("k"), put("k", "v"),
		{Code: wire.Stats},
		{Code: wire.Ping},
		{Code: wire.Hello, Value: make([]byte, wire.MinHelloPadBytes)},
		{Code: wire.Get, Key: []byte("k"), Flags: wire.OpSegment},
	} {
		for _, flags := range []wire.Flags{0, wire.FlagStages} {
			h := r.header()
			h.Cookie, h.Flags = 0, flags
			valid = append(valid, datagram(h, op))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		b := append([]byte(nil), rapid.SampledFrom(valid).Draw(t, "datagram")...)
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		b = b[:len(b)-rapid.SampledFrom([]int{0, 0, 1, 8, 40}).Draw(t, "cut")]
		r.inject(b)
		r.turns()
		replies, bytes := 0, 0
		for {
			reply, _, ok := r.port.Take()
			if !ok {
				break
			}
			replies, bytes = replies+1, bytes+len(reply)
		}
		if replies > 1 || bytes > len(b) {
			t.Fatalf("%d replies of %d bytes for %d bytes", replies, bytes, len(b))
		}
	})
}

func TestPacedRepliesWaitForTheirTime(t *testing.T) {
	r := newRig(t, rigOptions{port: porttest.Options{Strict: true}})
	whole := pattern(5000)
	r.storeLong("k", whole)
	h := r.header()
	h.GrantOffsetMicros, h.GrantRateKbit = 300, 1_000_000 // 1 Gbit/s: 1,136 bytes take about 9 µs
	begin := r.now
	r.inject(datagram(h, get("k")))
	var times []int64
	for len(times) < 5 && r.now < begin+2e6 {
		r.loop.Turn(r.now)
		for range r.take() {
			times = append(times, r.now-begin)
		}
		r.now += 1000
	}
	if len(times) != 5 || times[0] < 300_000 {
		t.Fatalf("parts left after %v ns, want five, the first after 300 µs", times)
	}
	for i := 1; i < len(times); i++ {
		if gap := times[i] - times[i-1]; gap < 7_000 || gap > 30_000 {
			t.Errorf("gap %d is %d ns, want about 9,000", i, gap)
		}
	}
	h = r.header()
	h.GrantOffsetMicros, h.GrantRateKbit = 200, 1_000_000
	begin = r.now
	r.inject(datagram(h, get("none")))
	for len(r.take()) == 0 && r.now < begin+2e6 {
		r.loop.Turn(r.now)
		r.now += 1000
	}
	if waited := r.now - begin; waited < 200_000 || waited > 200_000+2*wheelTickNanos {
		t.Errorf("a paced MISS left after %d ns, want 200,000", waited)
	}
	if r.counter(board.CountPaced) == 0 {
		t.Error("not counted")
	}
}

func TestTheControlProcessCapsAGrant(t *testing.T) {
	r := newRig(t, rigOptions{})
	req := wire.Request{RequestHeader: wire.RequestHeader{SessionID: 5, GrantRateKbit: 900}}
	for _, c := range []struct{ limit, want uint32 }{{0, 900}, {2000, 900}, {100, 100}} {
		r.board.Pacing().Cap(5, c.limit)
		if got := r.loop.neighbor.rate(&req); got != c.want {
			t.Errorf("cap %d: rate %d, want %d", c.limit, got, c.want)
		}
	}
	req.GrantRateKbit = 0
	if got := r.loop.neighbor.rate(&req); got != 100 {
		t.Errorf("without a grant: rate %d, want the cap", got)
	}
}

// TestWheel compares the wheel with a list.
func TestWheel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w wheel
		w.init(rapid.IntRange(1, 20).Draw(t, "frames"))
		now := int64(5e12)
		waiting := map[port.Frame]int64{}
		var next port.Frame
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "hold") {
				at := now + rapid.Int64Range(-1000, 200e6).Draw(t, "delay")
				next++
				if w.hold(port.Tx{Frame: next, DepartureNanos: at}, now) != (len(waiting) < len(w.entries)) {
					t.Fatalf("hold with %d of %d frames", len(waiting), len(w.entries))
				}
				if len(waiting) < len(w.entries) {
					waiting[next] = at
				}
				continue
			}
			now += rapid.Int64Range(0, 150e6).Draw(t, "passes")
			w.due(now, func(tx port.Tx) {
				at, ok := waiting[tx.Frame]
				if !ok || at > now {
					t.Fatalf("frame %d left at %d, held until %d (%v)", tx.Frame, now, at, ok)
				}
				delete(waiting, tx.Frame)
			})
			for f, at := range waiting {
				if at <= now-2*wheelTickNanos {
					t.Fatalf("frame %d is still held at %d, %d ns after its time", f, now, now-at)
				}
			}
		}
		if w.size != len(waiting) {
			t.Fatalf("size %d, want %d", w.size, len(waiting))
		}
	})
}

func TestBackpressureLosesNothing(t *testing.T) {
	r := newRig(t, rigOptions{port: porttest.Options{Strict: true, SendAtMost: 3, TxSlots: 8, LateFlushes: 1}})
	for i := range 60 {
		r.inject(datagram(r.header(), get("none")))
		if i%7 == 0 {
			r.loop.Turn(r.now)
		}
	}
	answered := 0
	for range 200 {
		r.loop.Turn(r.now)
		answered += len(r.take())
	}
	if answered != 60 {
		t.Errorf("%d of 60 requests answered", answered)
	}
}
