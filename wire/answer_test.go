package wire_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"gannet/wire"
)

// TestAppendAnswer: the short way to write an answer without a value gives the same bytes and the same sum as the long one.
func TestAppendAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		room := rapid.IntRange(wire.ReplyHeaderBytes, 400).Draw(t, "room")
		header := wire.ReplyHeader{RequestID: rapid.Uint64().Draw(t, "id"), Epoch: 5}
		var short, long wire.ReplyWriter
		a, b := make([]byte, room), make([]byte, room)
		short.Begin(a, &header, true)
		long.Begin(b, &header, true)
		for range rapid.IntRange(1, 8).Draw(t, "ops") {
			op := wire.ReplyOp{
				Code: wire.Put, Status: wire.Status(rapid.IntRange(0, wire.StatusCount-1).Draw(t, "status")), Flags: wire.ReplyDegraded,
				Index: uint16(rapid.IntRange(0, 254).Draw(t, "index")), Version: wire.Version(rapid.Uint64().Draw(t, "version")),
				Token: rapid.Uint64().Draw(t, "token"),
			}
			if got, want := short.AppendAnswer(op.Code, op.Status, op.Flags, op.Index, op.Version, op.Token), long.AppendSummed(&op, 0); got != want {
				t.Fatalf("room for it: %v, the long way %v", got, want)
			}
			if short.RoomBytes() != long.RoomBytes() || short.Count() != long.Count() {
				t.Fatalf("%d bytes left for operation %d, the long way %d for %d", short.RoomBytes(), short.Count(), long.RoomBytes(), long.Count())
			}
		}
		n, m := short.Finish(), long.Finish()
		if n != m || !bytes.Equal(a[:n], b[:m]) || short.Sum() != long.Sum() {
			t.Fatalf("%x\n, the long way\n%x", a[:n], b[:m])
		}
	})
}
