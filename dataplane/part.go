package dataplane

import (
	"gannet/board"
	"gannet/checksum"
	"gannet/shard"
	"gannet/wire"
)

// addPart puts a part of a value that fits one datagram into the reply. It begins
// at a unit's border and ends at one or with the value, so that its checksums are
// put together from stored ones.
func (l *Loop) addPart(op *wire.ReplyOp, item *shard.Item, from, upto int) {
	if !l.makeRoom(upto - from) {
		l.addOverloaded(op)
		return
	}
	l.counts.status[op.Status]++
	if v := l.appendPart(&l.reply.w, op, item, from, upto); v.tail != nil {
		l.closeWith(v)
	}
}

// appendPart writes a part into a datagram with room for it, by the cheapest way
// that is open to it: in place, as a tail, or by copy. In the first two cases the
// item is pinned until the port returns the token.
func (l *Loop) appendPart(w *wire.ReplyWriter, op *wire.ReplyOp, item *shard.Item, from, upto int) outside {
	op.Value = item.Value[from:upto]
	op.OffsetBytes = uint32(from)
	crc, sum := partSums(item, from, upto)
	op.CRC = crc
	v := l.sendOutside(w, item, from, upto)
	if v.tail == nil {
		w.AppendSummed(op, sum)
		return v
	}
	w.AppendExternal(op, len(op.Value), sum)
	l.counts.n[board.CountBytesOut] += uint64(len(op.Value))
	return v // the slot is the port's to read now
}

// partSums combines the stored checksums of the units from up to upto.
func partSums(item *shard.Item, from, upto int) (crc uint32, sum uint16) {
	for at := from; at < upto; at += wire.SegmentBytes {
		i := at / wire.SegmentBytes
		crc = checksum.CombineCRC(crc, item.CRC(i), min(upto-at, wire.SegmentBytes))
		sum = checksum.Add(sum, item.Sum(i))
	}
	return crc, sum
}
