package dataplane

import "gannet/wire"

// addRing answers RING with as much of the encoded ring, from the offset on, as a
// datagram holds: a client learns of a new epoch from any reply, and gets the ring
// that goes with it from the node that told it.
func (l *Loop) addRing(op *wire.Op) {
	answer := wire.ReplyOp{Code: wire.Ring, Index: uint16(op.Index)}
	if l.cfg.Rings == nil || l.cfg.Rings.current.Load() == nil {
		answer.Status = wire.StatusUnavailable
		l.add(&answer)
		return
	}
	p := l.cfg.Rings.current.Load()
	total := uint64(len(p.encoded))
	if op.Arg > total || op.Arg%wire.SegmentBytes != 0 {
		answer.Status = wire.StatusBadRequest
		l.add(&answer)
		return
	}
	part := p.encoded[op.Arg:]
	if room := l.reply.freshRoom(); len(part) > room {
		part = part[:partBytes(room)]
	}
	answer.Version = wire.Version(p.ring.Epoch())
	answer.TotalBytes = uint32(total)
	if uint64(len(part)) != total {
		answer.Flags |= wire.ReplySegment
		answer.OffsetBytes = uint32(op.Arg)
	}
	l.addValue(&answer, part)
}
