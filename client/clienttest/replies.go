package clienttest

import (
	"net/netip"

	"gannet/checksum"
	"gannet/wire"
)

// replies collects the answers to one request into datagrams.
type replies struct {
	header    wire.ReplyHeader
	limit     int
	writer    wire.ReplyWriter
	buf       []byte
	open      bool
	datagrams [][]byte
}

func (s *Server) begin(shard int, from netip.AddrPort, request *wire.Request) *replies {
	r := &replies{header: request.ReplyHeader(), limit: request.ReplyRoomBytes()}
	r.header.Epoch = s.epoch()
	r.header.RxQueue = uint16(shard)
	if s.config.Queue != nil {
		r.header.RxQueue = s.config.Queue(shard, from.Port())
	}
	return r
}

// add appends an answer, in a new datagram when the last is full.
func (r *replies) add(answer *wire.ReplyOp) {
	if r.open && r.writer.RoomBytes() < len(answer.Value) {
		r.flush()
	}
	if !r.open {
		r.buf = make([]byte, r.limit)
		r.writer.Begin(r.buf, &r.header, false)
		r.open = true
	}
	r.writer.Append(answer)
}

// addValue appends the range of a value: in this datagram if it is the whole
// value and fits, else in datagrams of its own.
func (r *replies) addValue(answer *wire.ReplyOp, value []byte, from, to int) {
	answer.TotalBytes = uint32(len(value))
	room := r.limit - r.header.Bytes() - wire.ReplyOpHeaderBytes
	if from == to || (from == 0 && to == len(value) && to <= room) {
		answer.Value = value[from:to]
		answer.CRC = checksum.CRC(answer.Value)
		r.add(answer)
		return
	}
	room = room / wire.SegmentBytes * wire.SegmentBytes
	for ; from < to; from += room {
		part := *answer
		part.Flags |= wire.ReplySegment
		if from+room < to {
			part.Flags |= wire.ReplyMore
		}
		part.OffsetBytes = uint32(from)
		part.Value = value[from:min(from+room, to)]
		part.CRC = checksum.CRC(part.Value)
		r.flush()
		r.add(&part)
	}
	r.flush()
}

// demandCookie replaces all answers by one that asks for a cookie.
func (r *replies) demandCookie(cookie uint64) [][]byte {
	r.datagrams, r.open = nil, false
	r.add(&wire.ReplyOp{Status: wire.StatusCookieRequired, Token: cookie})
	return r.finish()
}

func (r *replies) flush() {
	if r.open {
		r.datagrams = append(r.datagrams, r.buf[:r.writer.Finish()])
		r.open = false
	}
}

func (r *replies) finish() [][]byte {
	r.flush()
	return r.datagrams
}
