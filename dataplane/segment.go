package dataplane

import (
	"gannet/board"
	"gannet/dataplane/port"
	"gannet/shard"
	"gannet/wire"
)

// continuation is a reply of many datagrams on its way: the item is pinned, and a
// frame of the peer is kept, by which others are leased, and in which the last
// part leaves.
type continuation struct {
	rx          port.Rx // its frame; held
	header      wire.ReplyHeader
	op          wire.ReplyOp
	item        shard.Item // pinned
	limit       int        // bytes of one datagram
	next, upto  int        // what is still to be sent of the value
	departNanos int64      // of the next part
	kbit        uint32
}

// continuations go round: each sends a few parts, then it is the next one's turn.
type continuations struct {
	list [maxContinuations]continuation
	w    wire.ReplyWriter
	size int
	turn int // who is next
}

// addLong sends a value, or a range of one, that does not fit a datagram. When it
// cannot be kept track of, the first part is sent alone: the receiver sees how
// long the value is and asks for the rest.
func (l *Loop) addLong(op *wire.ReplyOp, item *shard.Item, from, upto int) {
	part := partBytes(l.reply.freshRoom())
	if l.continuations.size == maxContinuations || !l.store.Pin(item.Handle) {
		l.counts.reason[ReasonContinuationsFull]++
		l.addPart(op, item, from, min(from+part, upto))
		return
	}
	if !l.next() { // an own datagram, whose frame the continuation keeps
		l.store.Unpin(item.Handle)
		l.addOverloaded(op)
		return
	}
	l.counts.status[op.Status]++
	l.counts.n[board.CountContinuations]++
	b := &l.reply
	b.isOpen = false // the frame now belongs to the continuation
	l.continuations.list[l.continuations.size] = continuation{
		rx: b.rx, header: b.header, op: *op, item: *item, limit: b.limit, next: from, upto: upto,
		departNanos: b.departNanos, kbit: b.kbit,
	}
	b.departNanos += longNanos(upto-from, part, b.header.Bytes()+wire.ReplyOpHeaderBytes, b.kbit)
	l.continuations.size++
}

// longNanos is what a value in parts takes at a rate: what follows it in the reply
// departs after it.
func longNanos(bytes, part, headBytes int, kbit uint32) int64 {
	if kbit == 0 {
		return 0
	}
	parts := (bytes + part - 1) / part
	return int64(parts) * gapNanos(bytes/parts+headBytes, kbit)
}

// partBytes is the longest part of whole units that fits.
func partBytes(room int) int { return room &^ (wire.SegmentBytes - 1) }

// continueReplies sends some parts of each continuation, and returns how many.
func (l *Loop) continueReplies() (parts int) {
	cs := &l.continuations
	for visits := cs.size; visits > 0 && cs.size > 0 && parts < partsPerTurn; visits-- {
		if cs.turn >= cs.size {
			cs.turn = 0
		}
		c := &cs.list[cs.turn]
		parts += l.sendParts(c)
		if c.next < c.upto {
			cs.turn++
			continue
		}
		l.endContinuation(cs.turn)
	}
	return parts
}

func (l *Loop) sendParts(c *continuation) (parts int) {
	for parts < partsEachTurn && c.next < c.upto {
		if c.departNanos > l.nowNanos && !l.caps.Departure {
			break // its time has not come; a continuation needs no wheel
		}
		if !l.sendPart(c) {
			break
		}
		parts++
	}
	return parts
}

// sendPart sends one part; the last one leaves in the continuation's own frame.
func (l *Loop) sendPart(c *continuation) bool {
	rx, upto := c.rx, min(c.next+partBytes(c.room()), c.upto)
	if upto < c.upto {
		var ok bool
		if rx, ok = l.lease(c.rx.Frame); !ok {
			return false
		}
	}
	w := &l.continuations.w
	w.Begin(rx.Payload[:min(c.limit, cap(rx.Payload))], &c.header, l.sums)
	op := c.op
	if upto < c.upto {
		op.Flags |= wire.ReplyMore
	}
	v := l.appendPart(w, &op, &c.item, c.next, upto)
	tx := l.finishWriter(w, rx.Frame)
	v.put(&tx)
	c.next = upto
	l.depart(tx, &c.departNanos, c.kbit)
	return true
}

func (c *continuation) room() int {
	return c.limit - c.header.Bytes() - wire.ReplyOpHeaderBytes
}

// endContinuation forgets one whose last part has been sent: its frame went with it.
func (l *Loop) endContinuation(at int) {
	cs := &l.continuations
	l.store.Unpin(cs.list[at].item.Handle)
	cs.size--
	cs.list[at] = cs.list[cs.size]
	cs.list[cs.size] = continuation{}
}
