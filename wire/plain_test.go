package wire

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestPlainGetReadsWhatOpsDoes: PlainGet reads the operations of requests that hold
// nothing but GETs of whole values, perhaps padded by whole words, as the general
// reader does, and no others.
func TestPlainGetReadsWhatOpsDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		datagram := AppendRequest(nil, &RequestHeader{})
		for range rapid.IntRange(1, 6).Draw(t, "ops") {
			o := Op{Code: Get, Key: rapid.SliceOfN(rapid.Byte(), 1, MaxKeyBytes).Draw(t, "key")}
			switch rapid.IntRange(0, 15).Draw(t, "kind") {
			case 0:
				o.Flags = OpSegment
			case 1:
				o.Value = []byte("padding")
			case 2:
				o.Code, o.Value = Put, []byte("value")
			case 4, 5:
				o.Value = make([]byte, 8*rapid.IntRange(0, 9).Draw(t, "padding"))
			case 3:
				o.Flags, o.Arg = OpLease|OpNoValue|OpStaleOK, 7
			}
			datagram = AppendOp(datagram, 0, &o)
		}
		var r Request
		if reason := ParseRequest(datagram, &r); reason != ReasonNone {
			t.Fatalf("refused: %v", reason)
		}
		walkBoth(t, &r)
	})
}

func walkBoth(t *rapid.T, r *Request) {
	var op Op
	plain := true
	for ops := r.Ops(); ops.Next(&op); {
		plain = plain && op.Code == Get && op.Flags&OpSegment == 0 && len(op.Value)%AlignBytes == 0
	}
	ops, at := r.Ops(), 0
	for ops.Next(&op) {
		key, flags, next := r.PlainGet(at)
		if plain != (next != 0) {
			t.Fatalf("operation %d: plain is %v, read to %d", op.Index, plain, next)
		}
		if !plain {
			at += op.Bytes()
			continue
		}
		if !bytes.Equal(key, op.Key) || flags != op.Flags || next != at+op.Bytes() {
			t.Fatalf("operation %d: key %q flags %v next %d, want %q %v %d", op.Index, key, flags, next, op.Key, op.Flags, at+op.Bytes())
		}
		at = next
	}
	if _, _, next := r.PlainGet(at); next != 0 {
		t.Fatal("an operation behind the last one")
	}
}

// TestEchoedReplyIsTheWrittenOne: a reply built over its request is that of the
// general writer, byte for byte, sum included.
func TestEchoedReplyIsTheWrittenOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := RequestHeader{
			Shard: rapid.Uint16().Draw(t, "shard"), KeyHash: rapid.Uint64().Draw(t, "hash"), RequestID: rapid.Uint64().Draw(t, "id"),
			SessionID: rapid.Uint64().Draw(t, "session"), Cookie: rapid.Uint64().Draw(t, "cookie"), Epoch: 3, BudgetMicros: 77,
		}
		get := Op{Code: Get, Key: []byte("key")}
		frame := append(AppendOp(AppendRequest(nil, &h), 0, &get), make([]byte, 1472)...)
		var r Request
		if reason := ParseRequest(frame[:128], &r); reason != ReasonNone {
			t.Fatal(reason)
		}
		header := r.ReplyHeader()
		header.Epoch, header.Load, header.RxQueue = 9, rapid.Uint16().Draw(t, "load"), rapid.Uint16().Draw(t, "queue")
		var echo, plain ReplyWriter
		other := make([]byte, 1472)
		echo.BeginEcho(frame[:1472], true)
		plain.Begin(other, &header, true)
		for i := range rapid.IntRange(1, 5).Draw(t, "ops") {
			value := rapid.SliceOfN(rapid.Byte(), 0, 150).Draw(t, "value")
			o := ReplyOp{Code: Get, Index: uint16(i), Version: Version(rapid.Uint64().Draw(t, "version")), Value: value, TotalBytes: uint32(len(value))}
			echo.Append(&o)
			plain.Append(&o)
		}
		n, m := echo.FinishEcho(&r, header.Epoch, header.Load, header.RxQueue), plain.Finish()
		if n != m || !bytes.Equal(frame[:n], other[:m]) || echo.Sum() != plain.Sum() {
			t.Fatalf("echoed %x sum %04x\nwritten %x sum %04x", frame[:n], echo.Sum(), other[:m], plain.Sum())
		}
	})
}
