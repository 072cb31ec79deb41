package transport

import (
	"encoding/binary"
	"testing"

	"gannet/board"
	"gannet/replication"
)

// TestTheWindowIsCutAnywhere: batches are the mutations between two positions, however
// much of the window is gone.
func TestTheWindowIsCutAnywhere(t *testing.T) {
	all := replication.RangeSet{{From: 0, To: ^uint64(0)}}
	r := &logReader{}
	for upto := uint64(2); upto <= 100; upto += 2 {
		m := board.Mutation{Kind: board.MutationPut, Version: upto, Key: []byte("k"), Value: binary.LittleEndian.AppendUint64(nil, upto)}
		r.window = append(r.window, piece{upto, m.Append(nil)})
	}
	for from := uint64(0); from <= 100; from++ {
		r.retain(from)
		for upto := from; upto <= 101; upto++ {
			b, records := r.batch(nil, from, upto, all)
			if want := uint32(min(upto, 100)/2 - from/2); records != want {
				t.Fatalf("from %d up to %d: %d mutations, not %d", from, upto, records, want)
			}
			var m board.Mutation
			if len(b) > 0 {
				if _, err := board.NextMutation(b, &m); err != nil || m.Version != from/2*2+2 {
					t.Fatalf("the first beyond %d is %d, %v", from, m.Version, err)
				}
			}
		}
	}
}
