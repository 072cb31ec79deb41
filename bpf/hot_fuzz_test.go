package bpf

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"gannet/wire"
)

// hotTwin is the hot stage, written to be read: whether a request, at whose
// sender nothing is wrong, is answered with an item without TTLs.
func hotTwin(payload []byte, item *HotItem, cookie uint64) bool {
	var r wire.Request
	if wire.ParseRequest(payload, &r) != wire.ReasonNone || r.OpCount != 1 || int(payload[wire.OffsetHeaderWords])*8 != wire.RequestHeaderBytes {
		return false
	}
	ops := r.Ops()
	var op wire.Op
	ops.Next(&op)
	switch {
	case op.Code != wire.Get, op.Flags&^(wire.OpLease|wire.OpStaleOK) != 0, r.Flags != 0:
		return false
	case r.Shard != 1, r.KeyHash != item.Hash, string(op.Key) != string(item.Key):
		return false
	case r.Cookie != cookie, r.GrantRateKbit != 0, r.Epoch != 0 && r.Epoch != hotEpoch:
		return false
	case uint64(r.MinVersion) > item.Version:
		return false
	}
	return len(op.Value)%wire.AlignBytes == 0 && len(payload) >= wire.MinReplyBytes+len(item.Value)
}

// Requests that are good but for a few bytes meet every check of the stage, which
// a fuzzer that does not see into the program does not find.
func TestHotAgreesWithItsTwin(t *testing.T) {
	const key, value = "a key of 16 byte", "a value that is hot, and has some length of its own"
	h := loadHot(t, nil)
	item := h.item(key, value)
	item.ExpiresTick, item.SoftTick = HotNever, HotNever
	h.publish(item)
	answered := 0
	rapid.Check(t, func(t *rapid.T) {
		r := h.request(client4, key, len(value))
		r.op.Value = make([]byte, rapid.OneOf(rapid.Just(len(r.op.Value)), rapid.IntRange(0, len(r.op.Value)+16)).Draw(t, "padding"))
		payload := r.payload()
		if rapid.Bool().Draw(t, "no padding of the padding") {
			payload = payload[:len(payload)-(8-len(r.op.Value)%8)%8]
		}
		for range rapid.IntRange(0, 2).Draw(t, "changes") {
			at := rapid.IntRange(0, wire.MinRequestBytes+len(key)-1).Draw(t, "at")
			payload[at] = byte(rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, 255)).Draw(t, "byte"))
		}
		if h.agreesWithTwin(t, payload, &item, r.header.Cookie) {
			answered++
		}
	})
	if answered == 0 {
		t.Error("nothing was answered: no test of anything")
	}
}

// Every byte of a good request matters in the way that the twin says.
func TestHotAgreesByteByByte(t *testing.T) {
	const key, value = "a key of 16 byte", "some value"
	h := loadHot(t, nil)
	item := h.item(key, value)
	item.ExpiresTick, item.SoftTick = HotNever, HotNever
	h.publish(item)
	r := h.request(client4, key, len(value))
	good := r.payload()
	answered := 0
	for at := range good {
		for _, with := range []byte{0, 1, 2, 3, 0x10, 0x80, 0xFF, good[at] ^ 1, good[at] + 1} {
			if h.agreesWithTwin(t, changed(good, at, with), &item, r.header.Cookie) {
				answered++
			}
		}
	}
	if answered == 0 || answered == 9*len(good) {
		t.Errorf("%d of %d answered", answered, 9*len(good))
	}
}

// agreesWithTwin runs a request and compares what becomes of it with the twin's
// word. It says whether it was answered.
func (h *hotBench) agreesWithTwin(t failer, payload []byte, item *HotItem, cookie uint64) bool {
	frame := packet{port: 9801, payload: payload}.frame(h.tb)
	verdict, out := h.run(frame, nil)
	if want := hotTwin(payload, item, cookie); want != (verdict == xdpTx) {
		t.Fatalf("verdict %d, the twin says answered: %v\n%x", verdict, want, payload)
	}
	switch verdict {
	case xdpTx:
		h.checkAnswer(checkReplyFrame(h.tb, frame, out), payload, item)
	case xdpRedirect:
		if !bytes.Equal(out[MetaBytes:], frame) {
			t.Fatalf("bytes changed:\n%x\n%x", frame, out[MetaBytes:])
		}
	}
	return verdict == xdpTx
}

type failer interface{ Fatalf(string, ...any) }

// FuzzHot compares the stage with its twin: which requests are answered, and
// with what. The rest must go on as it came.
func FuzzHot(f *testing.F) {
	const key, value = "a key", "a value that is hot, and has some length of its own"
	h := loadHot(f, nil)
	item := h.item(key, value)
	item.ExpiresTick, item.SoftTick = HotNever, HotNever
	h.publish(item)
	good := h.request(client4, key, len(value))
	f.Add(good.payload())
	for _, change := range []func(*hotRequest){
		func(r *hotRequest) { r.op.Value = nil },
		func(r *hotRequest) { r.header.Epoch = 0 },
		func(r *hotRequest) { r.op.Flags = wire.OpLease },
		func(r *hotRequest) { r.op.Flags = wire.OpSegment },
		func(r *hotRequest) { r.header.MinVersion = 1 << 50 },
	} {
		other := good
		change(&other)
		f.Add(other.payload())
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) < wire.MinRequestBytes || len(payload) > 1472 {
			return
		}
		// A fuzzer does not guess a cookie, which lasts for an hour or two.
		cookie := h.cookies.Make(client4.As16(), hotClientPort, bootNanos(t))
		if binary.LittleEndian.Uint64(payload[wire.OffsetCookie:]) != 0 {
			payload = bytes.Clone(payload)
			binary.LittleEndian.PutUint64(payload[wire.OffsetCookie:], cookie)
		}
		h := &hotBench{bench: &bench{Steer: h.Steer, tb: t}, table: h.table, cookies: h.cookies, origin: h.origin}
		h.agreesWithTwin(t, payload, &item, cookie)
	})
}

// checkAnswer compares an answer with the shard's, but for its age.
func (h *hotBench) checkAnswer(got, request []byte, item *HotItem) {
	h.tb.Helper()
	var req wire.Request
	if reason := wire.ParseRequest(request, &req); reason != wire.ReasonNone {
		h.tb.Fatal(reason)
	}
	want := h.wantOf(&req, item, wire.NoTTL, 0)
	at := wire.ReplyHeaderBytes + wire.ReplyOpOffsetAgeSeconds
	clear(got[at : at+4])
	if !bytes.Equal(got, want) {
		h.tb.Fatalf("answer\n%x, want\n%x", got, want)
	}
}
