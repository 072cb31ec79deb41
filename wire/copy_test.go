package wire

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"gannet/checksum"
)

// TestCopyAndHashesOfRequests: a request in a copy of its datagram has the same
// operations, also when the datagram is overwritten, and the hints are the hashes of
// their keys.
func TestCopyAndHashesOfRequests(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ops []Op
		var want []uint64
		header := RequestHeader{}
		for range rapid.IntRange(1, 6).Draw(t, "ops") {
			o := Op{Code: Put, Key: rapid.SliceOfN(rapid.Byte(), 1, MaxKeyBytes).Draw(t, "key"), Value: rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "value")}
			if rapid.Bool().Draw(t, "segment") {
				o.Flags, o.Value, o.TotalBytes = OpSegment, make([]byte, SegmentBytes), 4*SegmentBytes
			}
			ops, want = append(ops, o), append(want, KeyHash(o.Key))
		}
		header.KeyHash = want[0]
		datagram := AppendRequest(nil, &header)
		for i := range ops {
			datagram = AppendOp(datagram, 0, &ops[i])
		}
		var r Request
		if reason := ParseRequest(datagram, &r); reason != ReasonNone {
			t.Fatalf("refused: %v", reason)
		}
		if got := r.AppendKeyHashes(nil); !slices.Equal(got, want) {
			t.Fatalf("hashes %x, want %x", got, want)
		}
		c := r.InCopy(bytes.Clone(datagram))
		clear(datagram)
		read := c.Ops()
		var op Op
		for i := range ops {
			if !read.Next(&op) || !bytes.Equal(op.Key, ops[i].Key) || !bytes.Equal(op.Value, ops[i].Value) {
				t.Fatalf("operation %d of the copy: key %q", i, op.Key)
			}
		}
	})
}

// TestAppendHitWritesWhatAppendDoes, sums included, and refuses what has no room.
func TestAppendHitWritesWhatAppendDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		room := rapid.IntRange(ReplyHeaderBytes, 400).Draw(t, "room")
		var writers [2]ReplyWriter
		var buffers [2][]byte
		sums := rapid.Bool().Draw(t, "sums")
		for i := range writers {
			buffers[i] = bytes.Repeat([]byte{0xAA}, room)
			writers[i].Begin(buffers[i], &ReplyHeader{}, sums)
		}
		for index := range rapid.IntRange(1, 4).Draw(t, "ops") {
			op := ReplyOp{
				Code: Get, Index: uint16(index), Version: Version(rapid.Uint64().Draw(t, "version")), CRC: rapid.Uint32().Draw(t, "crc"),
				TTLSeconds: rapid.Uint32().Draw(t, "ttl"), AgeSeconds: rapid.Uint32().Draw(t, "age"),
				Value: rapid.SliceOfN(rapid.Byte(), 0, 150).Draw(t, "value"),
			}
			op.TotalBytes = uint32(len(op.Value))
			op.Grant(rapid.SampledFrom([]uint16{0, 1, 1500, 0xFFFF}).Draw(t, "grant"))
			added := writers[0].Append(&op)
			w, again := &writers[1], false
			if rapid.Bool().Draw(t, "summed") {
				again = w.AppendHitSummed(op.Version, op.TTLSeconds, op.AgeSeconds, op.CRC, op.Index, op.L1GrantMillis, op.Value, checksum.Sum(op.Value))
			} else {
				again = w.AppendHit(op.Version, op.TTLSeconds, op.AgeSeconds, op.CRC, op.Index, op.L1GrantMillis, op.Value)
			}
			if added != again {
				t.Fatalf("operation %d: Append says %v, AppendHit %v", index, added, again)
			}
		}
		a, b := writers[0].Finish(), writers[1].Finish()
		if a != b || !bytes.Equal(buffers[0], buffers[1]) || sums && writers[0].Sum() != writers[1].Sum() {
			t.Fatalf("%d bytes, sum %x\n%x\nwant %d, %x\n%x", b, writers[1].Sum(), buffers[1], a, writers[0].Sum(), buffers[0])
		}
	})
}
