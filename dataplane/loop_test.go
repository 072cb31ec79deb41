package dataplane

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"gannet/board"
	"gannet/dataplane/porttest"
	"gannet/wire"
)

func TestPutThenGet(t *testing.T) {
	r := newRig(t, rigOptions{port: porttest.Options{Strict: true}})
	stored := r.mustStatus(wire.StatusOK, put("k", "hello"))
	found := r.mustStatus(wire.StatusOK, get("k"))
	if string(found.Value) != "hello" || found.Version != stored.Version || found.TTLSeconds != wire.NoTTL {
		t.Fatalf("got %+v, stored version %v", found, stored.Version)
	}
}

func TestEveryStatusOfSingleOperations(t *testing.T) {
	r := newRig(t, rigOptions{port: porttest.Options{Strict: true}})
	v := r.mustStatus(wire.StatusOK, put("k", "5")).Version
	long := strings.Repeat("x", 250)
	for _, c := range []struct {
		want wire.Status
		op   wire.Op
	}{
		{wire.StatusMiss, get("none")},
		{wire.StatusExists, wire.Op{Code: wire.Add, Key: []byte("k"), Value: []byte("v")}},
		{wire.StatusOK, wire.Op{Code: wire.Add, Key: []byte("new"), Value: []byte("v")}},
		{wire.StatusNotFound, wire.Op{Code: wire.Replace, Key: []byte("none"), Value: []byte("v")}},
		{wire.StatusNotFound, wire.Op{Code: wire.Delete, Key: []byte("none")}},
		{wire.StatusNotFound, wire.Op{Code: wire.Touch, Key: []byte("none"), TTLSeconds: 5}},
		{wire.StatusVersionMismatch, wire.Op{Code: wire.CAS, Key: []byte("k"), Arg: uint64(v) + 1, Value: []byte("6")}},
		{wire.StatusOK, wire.Op{Code: wire.CAS, Key: []byte("k"), Arg: uint64(v), Value: []byte("7")}},
		{wire.StatusOK, wire.Op{Code: wire.Incr, Key: []byte("k"), Arg: 3}},
		{wire.StatusNotANumber, wire.Op{Code: wire.Incr, Key: []byte("new"), Arg: 3}},
		{wire.StatusOK, wire.Op{Code: wire.Touch, Key: []byte("k"), TTLSeconds: 50}},
		{wire.StatusLeaseRefused, wire.Op{Code: wire.Put, Key: []byte("k"), Value: []byte("x"), Arg: 99}},
		{wire.StatusOK, put(long, "value of the longest key")},
		{wire.StatusOK, get(long)},
		{wire.StatusTooLarge, wire.Op{
			Code: wire.Put, Key: []byte("k"), Value: make([]byte, 1024), Flags: wire.OpSegment, TotalBytes: 1 << 20, Transfer: 1,
		}},
		{wire.StatusOK, wire.Op{Code: wire.Delete, Key: []byte("k")}},
		{wire.StatusMiss, get("k")},
		{wire.StatusOK, wire.Op{Code: wire.Ping}},
	} {
		r.mustStatus(c.want, c.op)
	}
	if got := r.loop.counts.status[wire.StatusMiss]; got != 2 {
		t.Errorf("%d misses counted by status, want 2", got)
	}
}

func TestIncrAnswersTheNumberAndRetriesGetTheSame(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.mustStatus(wire.StatusOK, put("n", "40"))
	h := r.header()
	ask := datagram(h, wire.Op{Code: wire.Incr, Key: []byte("n"), Arg: 2})
	for range 3 { // two retransmissions
		r.inject(ask)
		r.turns()
		if got := r.take()[0].ops[0]; got.Status != wire.StatusOK || got.Token != 42 {
			t.Fatalf("INCR answered %v %d, want OK 42", got.Status, int64(got.Token))
		}
	}
}

func TestADatagramsOperationsKeepTheirOrder(t *testing.T) {
	r := newRig(t, rigOptions{port: porttest.Options{Strict: true}})
	a := r.one(put("k", "one"), get("k"), put("k", "two"), get("k"), wire.Op{Code: wire.Delete, Key: []byte("k")}, get("k"))
	want := []struct {
		status wire.Status
		value  string
	}{{0, ""}, {0, "one"}, {0, ""}, {0, "two"}, {0, ""}, {wire.StatusMiss, ""}}
	for i, w := range want {
		if got := a.ops[i]; got.Status != w.status || string(got.Value) != w.value || int(got.Index) != i {
			t.Errorf("operation %d: %v %q index %d, want %v %q", i, got.Status, got.Value, got.Index, w.status, w.value)
		}
	}
}

func TestMultiGetIsCoalescedUpToTheRoom(t *testing.T) {
	r := newRig(t, rigOptions{port: porttest.Options{Strict: true}})
	var ops []wire.Op
	for i := range 30 {
		key := fmt.Sprintf("key-%d", i)
		r.mustStatus(wire.StatusOK, put(key, strings.Repeat("v", 100+i)))
		ops = append(ops, get(key))
	}
	ops = append(ops, get("missing"))
	seen := map[uint16]string{}
	answers := r.ask(ops...)
	for _, a := range answers {
		if a.bytes > wire.DefaultReplyRoomBytes {
			t.Errorf("reply of %d bytes", a.bytes)
		}
		for _, op := range a.ops {
			seen[op.Index] = string(op.Value)
		}
	}
	if len(answers) != 4 && len(answers) != 5 {
		t.Errorf("%d datagrams for about 5 KB", len(answers))
	}
	for i := range 30 {
		if seen[uint16(i)] != strings.Repeat("v", 100+i) {
			t.Errorf("key %d: %q", i, seen[uint16(i)])
		}
	}
	if _, ok := seen[30]; !ok || len(seen) != 31 {
		t.Errorf("%d operations answered, want 31", len(seen))
	}
}

// storeLong uploads a long value in segments.
func (r *rig) storeLong(key string, value []byte) {
	r.t.Helper()
	r.lastID++
	transfer := r.lastID
	for at := 0; at < len(value); at += 1024 {
		part := value[at:min(len(value), at+1024)]
		want := wire.StatusPartial
		if at+1024 >= len(value) {
			want = wire.StatusOK
		}
		r.mustStatus(want, wire.Op{
			Code: wire.Put, Key: []byte(key), Value: part, Flags: wire.OpSegment,
			TotalBytes: uint32(len(value)), OffsetBytes: uint32(at), Transfer: transfer,
		})
	}
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// assemble puts segments together and checks that they do not overlap.
func assemble(t *testing.T, answers []answer, totalBytes int) []byte {
	t.Helper()
	value := make([]byte, totalBytes)
	filled := 0
	for _, a := range answers {
		for _, op := range a.ops {
			if op.Status != wire.StatusOK || int(op.TotalBytes) != totalBytes {
				t.Fatalf("part %+v", op)
			}
			filled += copy(value[op.OffsetBytes:], op.Value)
		}
	}
	if filled != totalBytes {
		t.Fatalf("%d bytes in parts, want %d", filled, totalBytes)
	}
	return value
}

func TestLongValuesComeInParts(t *testing.T) {
	for _, segments := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d segments", segments), func(t *testing.T) {
			r := newRig(t, rigOptions{port: porttest.Options{Strict: true, MaxSegments: segments, LateFlushes: 3, Frames: 64}})
			for _, n := range []int{0, 1, 1023, 1024, 1025, 1360, 1361, 2048, 5000, 102400} {
				want := pattern(n)
				if n <= 1024 {
					r.mustStatus(wire.StatusOK, wire.Op{Code: wire.Put, Key: []byte("k"), Value: want})
				} else {
					r.storeLong("k", want)
				}
				if got := assemble(t, r.ask(get("k")), n); !bytes.Equal(got, want) {
					t.Fatalf("value of %d bytes came back otherwise", n)
				}
			}
			for range 8 {
				r.turns() // late completions come back
			}
			if pins := r.store.Stats().Pins; pins != 0 {
				t.Errorf("%d pins left", pins)
			}
			if tails := r.counter(board.CountTailsSent); (tails > 0) != (segments == 2) {
				t.Errorf("%d tails with %d segments", tails, segments)
			}
		})
	}
}

func TestRangesOfALongValue(t *testing.T) {
	r := newRig(t, rigOptions{port: porttest.Options{Strict: true}})
	whole := pattern(10_000)
	r.storeLong("k", whole)
	version := r.mustStatus(wire.StatusOK, wire.Op{Code: wire.Get, Key: []byte("k"), Flags: wire.OpNoValue}).Version
	part := r.mustStatus(wire.StatusOK, wire.Op{
		Code: wire.Get, Key: []byte("k"), Flags: wire.OpSegment, OffsetBytes: 9216, Transfer: uint64(version),
	})
	if !bytes.Equal(part.Value, whole[9216:]) || part.OffsetBytes != 9216 {
		t.Errorf("last part: %d bytes at %d", len(part.Value), part.OffsetBytes)
	}
	part = r.mustStatus(wire.StatusOK, wire.Op{
		Code: wire.Get, Key: []byte("k"), Flags: wire.OpSegment, OffsetBytes: 2048, TotalBytes: 1024,
	})
	if !bytes.Equal(part.Value, whole[2048:3072]) {
		t.Errorf("middle part: %d bytes", len(part.Value))
	}
	r.mustStatus(wire.StatusChanged, wire.Op{
		Code: wire.Get, Key: []byte("k"), Flags: wire.OpSegment, OffsetBytes: 1024, Transfer: uint64(version) + 1,
	})
	r.mustStatus(wire.StatusBadRequest, wire.Op{
		Code: wire.Get, Key: []byte("k"), Flags: wire.OpSegment, OffsetBytes: 11264,
	})
}

func TestALongValueDoesNotHoldUpShortOnes(t *testing.T) {
	r := newRig(t, rigOptions{port: porttest.Options{Strict: true, Frames: 512}})
	r.storeLong("long", pattern(102_400))
	r.mustStatus(wire.StatusOK, put("short", "s"))
	for range 8 {
		r.inject(datagram(r.header(), get("long")))
	}
	r.loop.Turn(r.now)
	first := len(r.take())
	r.inject(datagram(r.header(), get("short")))
	r.loop.Turn(r.now)
	got := r.take()
	if first == 0 || first > partsPerTurn || len(got) > partsPerTurn+1 {
		t.Errorf("turns of %d and %d datagrams, want at most %d", first, len(got), partsPerTurn+1)
	}
	if string(got[0].ops[0].Value) != "s" {
		t.Error("the short value did not leave first in its turn")
	}
	r.turns()
	parts := first + len(got) - 1 + len(r.take())
	if parts != 8*100 {
		t.Errorf("%d parts, want 800", parts)
	}
}

func TestContinuationsAreFairAndBounded(t *testing.T) {
	r := newRig(t, rigOptions{port: porttest.Options{Frames: 1024, FillFrames: 512}})
	r.storeLong("long", pattern(50_000))
	for range maxContinuations + 5 {
		r.inject(datagram(r.header(), get("long")))
	}
	byRequest := map[uint64]int{}
	for range 10 {
		r.loop.Turn(r.now)
		for _, a := range r.take() {
			byRequest[a.RequestID] += len(a.ops)
		}
	}
	least, most := 1000, 0
	for _, n := range byRequest {
		least, most = min(least, n), max(most, n)
	}
	if most-least > 2*partsEachTurn {
		t.Errorf("after ten turns requests have from %d to %d parts", least, most)
	}
	r.turns()
	if r.reason(ReasonContinuationsFull) == 0 {
		t.Error("more long values than the list holds, and none was cut short")
	}
	if r.loop.continuations.size != 0 {
		t.Error("continuations left")
	}
}

func TestHelloGivesLimitsAndACookie(t *testing.T) {
	r := newRig(t, rigOptions{})
	h := r.header()
	h.Cookie = 0
	r.inject(datagram(h, wire.Op{Code: wire.Hello, Value: make([]byte, wire.MinHelloPadBytes)}))
	r.turns()
	a := r.take()[0]
	hello, ok := wire.ParseHelloReply(a.ops[0].Value)
	if !ok || hello.Shards != 1 || hello.BasePort != 9800 || hello.NodeID != 7 || hello.BootID != 8 || hello.NowNanos == 0 {
		t.Fatalf("hello %+v", hello)
	}
	h = r.header()
	h.Cookie = a.ops[0].Token
	r.inject(datagram(h, get("k")))
	r.turns()
	if got := r.take()[0].ops[0].Status; got != wire.StatusMiss {
		t.Errorf("with the cookie of HELLO: %v, want MISS", got)
	}
}

func TestWithoutCookieNothingButACookie(t *testing.T) {
	r := newRig(t, rigOptions{})
	h := r.header()
	h.Cookie = 12345
	ask := datagram(h, put("k", "v"))
	r.inject(ask)
	r.turns()
	a := r.take()[0]
	if a.ops[0].Status != wire.StatusCookieRequired || a.bytes > len(ask) {
		t.Fatalf("%v in %d bytes for %d", a.ops[0].Status, a.bytes, len(ask))
	}
	if !r.cookies.Valid(a.ops[0].Token, r.from.IP, r.from.Port, r.now) {
		t.Error("the cookie given is not good")
	}
	r.mustStatus(wire.StatusMiss, get("k"))
	if r.reason(ReasonNoCookie) != 1 {
		t.Error("not counted")
	}
}

func TestMalformed(t *testing.T) {
	r := newRig(t, rigOptions{})
	h := r.header()
	bad := datagram(h, get("k"))
	bad[wire.RequestHeaderBytes] = 99 // opcode
	r.inject(bad)
	short := datagram(r.header(), get("k"))[:50]
	r.inject(short)
	h = r.header()
	h.Cookie = 1
	unproven := datagram(h, get("k"))
	unproven[wire.RequestHeaderBytes+3] = 1 // reserved
	r.inject(unproven)
	proven := datagram(r.header(), get("k"))
	proven[wire.RequestHeaderBytes+3] = 1
	r.inject(proven)
	r.turns()
	got := r.take()
	if len(got) != 2 || got[0].ops[0].Status != wire.StatusUnsupported || got[1].ops[0].Status != wire.StatusBadRequest {
		t.Fatalf("answers %+v", got)
	}
	if r.reason(ReasonMalformedUnproven) != 2 || r.reason(ReasonMalformedAnswered) != 2 {
		t.Errorf("counted %d dropped, %d answered", r.reason(ReasonMalformedUnproven), r.reason(ReasonMalformedAnswered))
	}
	r.loop.publishCounters()
	if r.board.Counters(0).GetIn(board.GroupWire, int(wire.ReasonReserved)) != 2 {
		t.Error("reason of the format is not on the board")
	}
}

func TestFenceStopsWritesOnly(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.mustStatus(wire.StatusOK, put("k", "v"))
	r.board.Fence().Set(r.now)
	r.mustStatus(wire.StatusFenced, put("k", "w"))
	r.mustStatus(wire.StatusFenced, wire.Op{Code: wire.Delete, Key: []byte("k")})
	if got := r.mustStatus(wire.StatusOK, get("k")); string(got.Value) != "v" {
		t.Errorf("value %q", got.Value)
	}
	r.board.Fence().Set(r.now + 1e9)
	r.mustStatus(wire.StatusOK, put("k", "w"))
}

func TestAFenceThatFallsMeanwhileLeavesTheOutcomeUnknown(t *testing.T) {
	var r *rig
	r = newRig(t, rigOptions{config: Config{Clock: func() int64 { return r.now + 2e6 }}}) // frozen for 2 ms in each turn
	r.board.Fence().Set(r.now + 1e6)
	r.mustStatus(wire.StatusOutcomeUnknown, put("k", "v"))
	r.board.Fence().Set(r.now + 3e6)
	r.mustStatus(wire.StatusOK, put("k", "v"))
}

func TestStagesAreReportedWhenAsked(t *testing.T) {
	r := newRig(t, rigOptions{})
	h := r.header()
	h.Flags |= wire.FlagStages
	r.inject(datagram(h, get("k")))
	sent := r.now
	r.now += 5000
	r.turns()
	a := r.take()[0]
	if s := a.Stages; int64(s.ReceivedNanos) != sent || int64(s.ServedNanos) != sent+5000 || s.SentNanos < s.ServedNanos {
		t.Errorf("stages %+v, sent at %d", s, sent)
	}
}

func TestStatsIsJSONOfTheWholeNode(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.mustStatus(wire.StatusOK, put("k", "v"))
	r.mustStatus(wire.StatusOK, get("k"))
	r.mustStatus(wire.StatusMiss, get("l"))
	var got map[string]any
	if err := json.Unmarshal(r.do(wire.Op{Code: wire.Stats}).Value, &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"policy": "default", "datapath": "memory", "items": 1.0, "gets": 2.0, "hits": 1.0, "misses": 1.0, "puts": 1.0, "evictions": 0.0,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}
