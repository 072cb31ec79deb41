package wire

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"gannet/checksum"

	"pgregory.net/rapid"
)

func TestBuiltRequestsParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		header, ops := anyRequestHeader.Draw(t, "header"), anyOps.Draw(t, "operations")
		for i := range ops {
			if reason := ops[i].Check(); reason != ReasonNone {
				t.Fatalf("operation %+v: %v", ops[i], reason)
			}
		}
		b := buildRequest(&header, ops)
		if len(b)%AlignBytes != 0 {
			t.Fatalf("%d bytes", len(b))
		}
		checkRequest(t, b, &header, ops)
		last := &ops[len(ops)-1]
		checkRequest(t, b[:len(b)-align(len(last.Value))+len(last.Value)], &header, ops)
	})
}

// checkRequest expects b to parse to exactly these fields, for the parser and its twin.
func checkRequest(t *rapid.T, b []byte, header *RequestHeader, ops []Op) {
	t.Helper()
	var r Request
	if reason := ParseRequest(b, &r); reason != ReasonNone {
		t.Fatalf("%x: %v", b, reason)
	}
	if r.RequestHeader != *header || r.LengthBytes != len(b) || !r.HeaderRead() || r.OpCount != len(ops) {
		t.Fatalf("header %+v, want %+v", r, header)
	}
	if got := collectOps(&r); !reflect.DeepEqual(got, ops) {
		t.Fatalf("operations %+v, want %+v", got, ops)
	}
	compareRequest(t, b)
}

func collectOps(r *Request) (ops []Op) {
	var op Op
	for reader := r.Ops(); reader.Next(&op); {
		ops = append(ops, op)
	}
	return ops
}

func collectReplyOps(r *Reply) (ops []ReplyOp) {
	var op ReplyOp
	for reader := r.Ops(); reader.Next(&op); {
		ops = append(ops, op)
	}
	return ops
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// compareRequest judges the parser by its slow twin.
func compareRequest(t fataler, b []byte) {
	t.Helper()
	var r Request
	got, want := ParseRequest(b, &r), slowParseRequest(b)
	if got == ReasonNone != (len(want.broken) == 0) || got != ReasonNone && !slices.Contains(want.broken, got) {
		t.Fatalf("%x: %v, slow twin %v", b, got, want.broken)
	}
	if r.HeaderRead() && r.RequestHeader != want.header {
		t.Fatalf("%x: header %+v, slow twin %+v", b, r.RequestHeader, want.header)
	}
	if ops := collectOps(&r); got == ReasonNone && !equalOps(ops, want.ops) || got != ReasonNone && len(ops) != 0 {
		t.Fatalf("%x: operations %+v, slow twin %+v", b, ops, want.ops)
	}
}

func equalOps(a, b []Op) bool {
	return slices.EqualFunc(a, b, func(x, y Op) bool {
		same := bytes.Equal(x.Key, y.Key) && bytes.Equal(x.Value, y.Value)
		x.Key, x.Value, y.Key, y.Value = nil, nil, nil, nil
		return same && reflect.DeepEqual(x, y)
	})
}

// compareReply judges the reply parser by its slow twin.
func compareReply(t fataler, b []byte) {
	t.Helper()
	var r Reply
	got, want := ParseReply(b, &r), slowParseReply(b)
	if got == ReasonNone != (len(want.broken) == 0) || got != ReasonNone && !slices.Contains(want.broken, got) {
		t.Fatalf("%x: %v, slow twin %v", b, got, want.broken)
	}
	if got != ReasonNone {
		return
	}
	if r.ReplyHeader != want.reply {
		t.Fatalf("%x: header %+v, slow twin %+v", b, r.ReplyHeader, want.reply)
	}
	if ops := collectReplyOps(&r); !equalReplyOps(ops, want.reops) {
		t.Fatalf("%x: operations %+v, slow twin %+v", b, ops, want.reops)
	}
}

func equalReplyOps(a, b []ReplyOp) bool {
	return slices.EqualFunc(a, b, func(x, y ReplyOp) bool {
		same := bytes.Equal(x.Value, y.Value)
		x.Value, y.Value = nil, nil
		return same && reflect.DeepEqual(x, y)
	})
}

func TestBuiltRepliesParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		header := anyReplyHeader.Draw(t, "header")
		ops := rapid.SliceOfN(anyReplyOp, 1, 12).Draw(t, "operations")
		b := buildReply(&header, ops)
		var r Reply
		if reason := ParseReply(b, &r); reason != ReasonNone {
			t.Fatalf("%x: %v", b, reason)
		}
		if r.ReplyHeader != header {
			t.Fatalf("header %+v, want %+v", r.ReplyHeader, header)
		}
		if got := collectReplyOps(&r); !equalReplyOps(got, ops) {
			t.Fatalf("operations %+v, want %+v", got, ops)
		}
		for _, op := range collectReplyOps(&r) {
			if !op.Intact() {
				t.Fatalf("the value of %+v lost its CRC", op)
			}
		}
		compareReply(t, b)
	})
}

// TestMutatedDatagrams breaks valid datagrams in few places, where a random one would hardly ever get past the first checks.
func TestMutatedDatagrams(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if rapid.Bool().Draw(t, "reply") {
			header := anyReplyHeader.Draw(t, "header")
			compareReply(t, mutate(t, buildReply(&header, rapid.SliceOfN(anyReplyOp, 1, 4).Draw(t, "operations"))))
			return
		}
		header := anyRequestHeader.Draw(t, "header")
		compareRequest(t, mutate(t, buildRequest(&header, anyOps.Draw(t, "operations"))))
	})
}

func mutate(t *rapid.T, b []byte) []byte {
	for range rapid.IntRange(1, 3).Draw(t, "mutations") {
		if len(b) == 0 {
			break
		}
		at := rapid.IntRange(0, len(b)-1).Draw(t, "at")
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			b[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case 1:
			b[at] = rapid.SampledFrom([]byte{0, 1, 7, 8, 0x7F, 0x80, 0xFA, 0xFB, 0xFF}).Draw(t, "byte")
		case 2:
			b = b[:at]
		case 3:
			b = append(b, make([]byte, rapid.IntRange(1, 9).Draw(t, "longer"))...)
		case 4:
			b = append(b[:at:at], b[min(at+8, len(b)):]...)
		}
	}
	return b
}

func TestReplyOverwritesItsRequest(t *testing.T) {
	header := RequestHeader{Shard: 3, KeyHash: KeyHash([]byte("key")), RequestID: 77, SessionID: 88, Epoch: 5, Cookie: 99}
	frame := append(buildRequest(&header, []Op{{Code: Get, Key: []byte("key")}}), make([]byte, 1500)...)
	var request Request
	if reason := ParseRequest(frame[:128], &request); reason != ReasonNone {
		t.Fatal(reason)
	}
	value := bytes.Repeat([]byte("v"), 77)
	replyHeader := request.ReplyHeader()
	replyHeader.Epoch = 6
	var w ReplyWriter
	w.Begin(frame[:request.ReplyRoomBytes()], &replyHeader, true)
	if !w.Append(&ReplyOp{Code: Get, Version: 1, TTLSeconds: NoTTL, CRC: checksum.CRC(value), TotalBytes: 77, Value: value}) {
		t.Fatal("no room")
	}
	w.Header.Load = 1234
	reply := frame[:w.Finish()]
	if want := MinReplyBytes + 77; len(reply) != want {
		t.Errorf("%d bytes, want %d: a last value is not padded", len(reply), want)
	}
	var r Reply
	if reason := ParseReply(reply, &r); reason != ReasonNone {
		t.Fatal(reason)
	}
	if r.RequestID != 77 || r.SessionID != 88 || r.Shard != 3 || r.Epoch != 6 || r.Load != 1234 || r.KeyHash != header.KeyHash {
		t.Errorf("header %+v", r.ReplyHeader)
	}
	if w.Sum() != checksum.Sum(reply) {
		t.Errorf("sum %#x, of the bytes %#x", w.Sum(), checksum.Sum(reply))
	}
}

func TestReplyWriterSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		header := anyReplyHeader.Draw(t, "header")
		ops := rapid.SliceOfN(anyReplyOp, 1, 8).Draw(t, "operations")
		buf := bytes.Repeat([]byte{0xAB}, MaxDatagramBytes)
		var w ReplyWriter
		w.Begin(buf, &header, true)
		for i := range ops {
			switch rapid.IntRange(0, 2).Draw(t, "way") {
			case 0:
				w.Append(&ops[i])
			case 1:
				w.AppendSummed(&ops[i], checksum.Sum(ops[i].Value))
			case 2:
				copy(w.AppendRoom(&ops[i], len(ops[i].Value)), ops[i].Value)
				w.AddSum(checksum.Sum(ops[i].Value))
			}
		}
		external := anyReplyOp.Draw(t, "external")
		if rapid.Bool().Draw(t, "with external") && len(external.Value) != 0 {
			w.AppendExternal(&external, len(external.Value), checksum.Sum(external.Value))
		} else {
			external.Value = nil
		}
		whole := append(bytes.Clone(buf[:w.Finish()]), external.Value...)
		if w.Sum() != checksum.Sum(whole) {
			t.Fatalf("sum %#x, of the bytes %#x", w.Sum(), checksum.Sum(whole))
		}
		var r Reply
		if reason := ParseReply(whole, &r); reason != ReasonNone {
			t.Fatal(reason)
		}
	})
}

func TestReplyWriterKeepsToItsRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		room := rapid.IntRange(MinReplyBytes, 1472).Draw(t, "room")
		buf := bytes.Repeat([]byte{0x5A}, room+64)
		header := ReplyHeader{}
		var w ReplyWriter
		w.Begin(buf[:room], &header, false)
		for i := range 300 {
			op := ReplyOp{Code: Get, Index: uint16(i), Value: drawBytes(t, "value", 0, 100)}
			op.TotalBytes = uint32(len(op.Value))
			fits, count := w.RoomBytes() >= len(op.Value), w.Count()
			if w.Append(&op) != fits || (w.Count() == count+1) != fits {
				t.Fatalf("operation %d: fits %v, count %d after %d", i, fits, w.Count(), count)
			}
		}
		length := w.Finish()
		if length > room || !bytes.Equal(buf[room:], bytes.Repeat([]byte{0x5A}, 64)) {
			t.Fatalf("%d bytes in a room of %d, or written behind it", length, room)
		}
		var r Reply
		if reason := ParseReply(buf[:length], &r); w.Count() != 0 && (reason != ReasonNone || r.OpCount != w.Count()) {
			t.Fatalf("%v, %d operations of %d", reason, r.OpCount, w.Count())
		}
	})
}

// TestAmplification: what may be answered without a cookie is at most as long as the shortest request that asks for it.
func TestAmplification(t *testing.T) {
	hello := len(buildRequest(&RequestHeader{}, []Op{{Code: Hello, Value: make([]byte, MinHelloPadBytes)}}))
	if reply := MinReplyBytes + HelloReplyBytes; hello < reply {
		t.Errorf("a HELLO of %d bytes is answered with %d", hello, reply)
	}
	if MinRequestBytes < MinReplyBytes {
		t.Errorf("a request of %d bytes is answered with %d", MinRequestBytes, MinReplyBytes)
	}
	for code := Get; code < OpcodeCount; code++ {
		if !code.NeedsCookie() && !opRules[code].alone {
			t.Errorf("%v may stand beside others, and each is answered without a cookie", code)
		}
	}
}

func TestShardOf(t *testing.T) {
	for _, c := range []struct {
		hash   uint64
		shards int
		want   int
	}{
		{0, 1, 0}, {0xFFFFFFFF, 1, 0}, {0xFFFFFFFF, 16, 15}, {0x7FFFFFFF, 2, 0}, {0x80000000, 2, 1}, {0xFFFFFFFF_00000000, 7, 0},
	} {
		if got := ShardOf(c.hash, c.shards); got != c.want {
			t.Errorf("ShardOf(%#x, %d) = %d, want %d", c.hash, c.shards, got, c.want)
		}
	}
	counts := make([]int, 7)
	for i := range 70_000 {
		counts[ShardOf(KeyHash([]byte{byte(i), byte(i >> 8), byte(i >> 16)}), 7)]++
	}
	for shard, n := range counts {
		if n < 9_500 || n > 10_500 {
			t.Errorf("shard %d has %d of 70,000 keys", shard, n)
		}
	}
}

// TestKeyHash holds KeyHash to values of the reference implementation (smhasher's MurmurHash3_x64_128).
func TestKeyHash(t *testing.T) {
	for key, want := range map[string]uint64{
		"":      0,
		"hello": 0xcbd8a7b341bd9b02,
		"The quick brown fox jumps over the lazy dog": 0xe34bbc7bbc071b6c,
	} {
		if got := KeyHash([]byte(key)); got != want {
			t.Errorf("KeyHash(%q) = %#x, want %#x", key, got, want)
		}
	}
}

func TestVersion(t *testing.T) {
	v := MakeVersion(7, 1<<40|9)
	if v.Epoch() != 7 || v.Sequence() != 9 || v.String() != "7.9" {
		t.Errorf("%v: epoch %d, sequence %d", v, v.Epoch(), v.Sequence())
	}
	if MakeVersion(2, 0) <= MakeVersion(1, MaxSequence) {
		t.Error("a later epoch must win")
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range ReasonCount {
		if name := r.String(); name == "" || seen[name] {
			t.Errorf("reason %d: name %q", r, name)
		} else {
			seen[name] = true
		}
	}
	for code := Get; code < OpcodeCount; code++ {
		if code.String() == "" {
			t.Errorf("opcode %d has no name", code)
		}
	}
	for s := range Status(StatusCount) {
		if s.String() == "" {
			t.Errorf("status %d has no name", s)
		}
	}
}

func TestHelloReplyRoundTrip(t *testing.T) {
	want := HelloReply{Shards: 8, BasePort: 9800, MaxValueBytes: 102400, MaxPayloadBytes: 1472, NodeID: 1 << 60, BootID: 3, NowNanos: 4}
	b := make([]byte, HelloReplyBytes+8)
	want.Put(b)
	if got, ok := ParseHelloReply(b); !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
	if _, ok := ParseHelloReply(b[:HelloReplyBytes-1]); ok {
		t.Error("a short one parses")
	}
}

func TestNoAllocations(t *testing.T) {
	header := RequestHeader{Cookie: 1}
	key, value := []byte("some key of common size"), make([]byte, 100)
	datagram, frame := make([]byte, 0, 2048), make([]byte, 2048)
	var request Request
	var reply Reply
	var w ReplyWriter
	var op Op
	var replyOp ReplyOp
	allocations := testing.AllocsPerRun(200, func() {
		header.KeyHash = KeyHash(key)
		b := AppendRequest(datagram, &header)
		for range 4 {
			b = AppendOp(b, 0, &Op{Code: Put, Key: key, Value: value})
		}
		ParseRequest(b, &request)
		for reader := request.Ops(); reader.Next(&op); {
		}
		replyHeader := request.ReplyHeader()
		w.Begin(frame, &replyHeader, true)
		w.Append(&ReplyOp{Code: Get, Value: value, TotalBytes: 100})
		ParseReply(frame[:w.Finish()], &reply)
		for reader := reply.Ops(); reader.Next(&replyOp); {
		}
	})
	if allocations != 0 || reply.OpCount != 1 || request.OpCount != 4 {
		t.Errorf("%v allocations; %d and %d operations", allocations, request.OpCount, reply.OpCount)
	}
}
