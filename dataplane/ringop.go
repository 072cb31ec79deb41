package dataplane

import (
	"gannet/shard"
	"gannet/wire"
)

// addRing answers RING with as much of the encoded ring, from the offset on, as a
// datagram holds: a client learns of a new epoch from any reply, and gets the ring
// that goes with it from the node that told it.
func (l *Loop) addRing(op *wire.Op) {
	answer := wire.ReplyOp{Code: wire.Ring, Index: uint16(op.Index)}
	if l.cfg.Rings == nil || l.cfg.Rings.current.Load() == nil {
		answer.Status = wire.StatusMiss
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

// misplacedRead is misplaced for a GET: followers answer it, too, as far as their
// copy goes, and where it is whole. The right to fill a key is the leader's to give.
func (l *Loop) misplacedRead(g *shard.Get, hash uint64) wire.Status {
	switch {
	case wire.ShardOf(hash, l.cfg.Shards) != l.cfg.Shard:
		l.counts.reason[ReasonWrongShard]++
		return wire.StatusMoved
	case l.ring == nil || l.ring.Owns(l.cfg.NodeID, hash): // asked once: it is a search
	case l.ring.Holds(l.cfg.NodeID, hash):
		g.Lease = false
		if l.neighbor.lacks(hash) {
			l.counts.reason[ReasonLacking]++
			return wire.StatusBehind
		}
	default:
		l.counts.reason[ReasonNotOwned]++
		return wire.StatusMoved
	}
	return wire.StatusOK
}
