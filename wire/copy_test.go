package wire

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
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
