package dataplane

import (
	"bytes"
	"testing"

	"gannet/wire"
)

// TestPingEchoes what fits, to those who take longer replies than usual, and never
// sends more than it got.
func TestPingEchoes(t *testing.T) {
	for _, row := range []struct {
		name      string
		room      uint16
		padding   int
		wantBytes int
	}{
		{"no room named", 0, 1000, 0},
		{"usual room", 1472, 1000, 0},
		{"all of it", 8972, 1000, 1000},
		{"no padding", 8972, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, rigOptions{})
			h := r.header()
			h.Cookie, h.MaxReplyBytes = 0, row.room
			padding := bytes.Repeat([]byte{1, 2, 3, 5, 7}, row.padding/5)
			request := wire.AppendOp(wire.AppendRequest(nil, &h), 0, &wire.Op{Code: wire.Ping, Value: padding})
			r.inject(request)
			r.turns()
			answers := r.take()
			if len(answers) != 1 || len(answers[0].ops) != 1 {
				t.Fatalf("%d answers", len(answers))
			}
			got := answers[0].ops[0]
			if got.Status != wire.StatusOK || len(got.Value) != row.wantBytes || !got.Intact() || !bytes.Equal(got.Value, padding[:row.wantBytes]) {
				t.Errorf("%v with %d bytes, want %d", got.Status, len(got.Value), row.wantBytes)
			}
			if replied := answers[0].bytes; replied > len(request) {
				t.Errorf("%d bytes for %d", replied, len(request))
			}
		})
	}
}
