package bench

import (
	"bytes"
	"encoding/binary"

	"gannet/loadgen/values"
)

// echo sends datagrams that come back as they were:
//
//	0  magic, as Gannet's requests have it, version 1, flags 0
//	4  zero
//	8  sequence number
//	16 bytes that belong to the lane
type echo struct{ bytes int }

const (
	echoHeaderBytes = 16
	echoHead        = 0x00016E47
)

func (c *echo) closings(bool) int { return 0 }

func (c *echo) parts(bool, []uint32) int { return 1 }

func (c *echo) encode(b []byte, l *lane, sequence uint64, _ *slot, _ []uint32, _ int) int {
	if len(b) < c.bytes {
		return 0
	}
	if l.header == nil {
		l.header = values.Append(nil, uint64(l.index), c.bytes)
	}
	copy(b, l.header)
	binary.LittleEndian.PutUint64(b, echoHead)
	binary.LittleEndian.PutUint64(b[8:], sequence)
	return c.bytes
}

func (c *echo) decode(w *worker, l *lane, data []byte) int {
	if len(data) < echoHeaderBytes || binary.LittleEndian.Uint64(data) != echoHead {
		w.strange(kindMalformed)
		return len(data)
	}
	sequence := binary.LittleEndian.Uint64(data[8:])
	s := l.pending.find(sequence)
	switch {
	case s == nil: // late
	case w.opt.SkipVerify || len(data) == c.bytes && bytes.Equal(data[echoHeaderBytes:], l.header[echoHeaderBytes:]):
		w.counts[s.phase].hits++
		w.ended(l, sequence, s)
	default:
		w.corrupt(l, sequence, s)
	}
	return len(data)
}
