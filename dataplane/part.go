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
	if tail, token, ok := appendPart(l, &l.reply.w, op, item, from, upto); ok {
		l.closeWith(tail, token)
	}
}

// appendPart writes a part into a datagram with room for it: by copy, or, long
// enough, as a tail that is pinned until the port returns its token.
func appendPart(l *Loop, w *wire.ReplyWriter, op *wire.ReplyOp, item *shard.Item, from, upto int) (tail []byte, token uint64, isTail bool) {
	op.Value = item.Value[from:upto]
	op.OffsetBytes = uint32(from)
	crc, sum := partSums(&item.Units, from, upto)
	op.CRC = crc
	if len(op.Value) >= l.tailBytes && l.store.Pin(item.Handle) {
		w.AppendExternal(op, len(op.Value), sum)
		l.counts.n[board.CountTailsSent]++
		l.counts.n[board.CountBytesOut] += uint64(len(op.Value))
		return op.Value, tokenOf(item.Handle), true // the slot is the port's to read now
	}
	w.AppendSummed(op, sum)
	return nil, 0, false
}

// tokenOf makes a token that is never zero; settle takes the handle out again.
func tokenOf(h shard.Handle) uint64 { return 1<<32 | uint64(h) }

// partSums combines the stored checksums of the units from up to upto.
func partSums(units *shard.Units, from, upto int) (crc uint32, sum uint16) {
	for at := from; at < upto; at += wire.SegmentBytes {
		i := at / wire.SegmentBytes
		crc = checksum.CombineCRC(crc, units.CRC(i), min(upto-at, wire.SegmentBytes))
		sum = checksum.Add(sum, units.Sum(i))
	}
	return crc, sum
}
