package dataplane

import (
	"gannet/board"
	"gannet/checksum"
	"gannet/dataplane/port"
	"gannet/wire"
)

// builder fills reply datagrams to one request, one at a time: first in the
// request's own frame, then in leased ones.
type builder struct {
	w           wire.ReplyWriter
	header      wire.ReplyHeader
	rx          port.Rx    // the frame being filled, while isOpen
	like        port.Frame // a held frame of the same peer, to lease by
	limit       int        // bytes of one reply datagram
	arrived     int64
	departNanos int64 // of the next datagram; 0 = at once
	kbit        uint32
	isOpen      bool
}

// open starts the reply to a request in its own frame. An unproven sender gets no
// more bytes than it brought.
func (l *Loop) open(in *inbound, proven bool) {
	b := &l.reply
	b.rx, b.like, b.isOpen = *in.rx, in.rx.Frame, true
	b.arrived = in.rx.ArrivedNanos
	b.limit = min(in.req.ReplyRoomBytes(), l.maxPayload(&in.rx.From), cap(in.rx.Payload))
	b.header = in.req.ReplyHeader()
	b.header.Flags &^= wire.FlagStages
	b.header.Epoch = l.epoch
	b.header.Load = l.load.figure
	b.header.RxQueue = in.rx.Queue
	b.departNanos, b.kbit = 0, 0
	if !proven {
		b.limit = min(b.limit, len(in.rx.Payload))
	} else {
		l.openProven(b, in)
	}
	b.w.Begin(b.rx.Payload[:b.limit], &b.header, l.sums)
}

func (l *Loop) openProven(b *builder, in *inbound) {
	if in.req.Flags&wire.FlagStages != 0 {
		b.header.Flags |= wire.FlagStages
		b.header.Stages = wire.Stages{ReceivedNanos: uint64(in.rx.ArrivedNanos), ServedNanos: uint64(l.nowNanos)}
	}
	if in.reason != wire.ReasonNone {
		return // what a malformed request grants means nothing
	}
	l.account(&in.req)
	b.kbit = l.neighbor.rate(&in.req)
	if b.kbit != 0 {
		b.departNanos = in.rx.ArrivedNanos + min(int64(in.req.GrantOffsetMicros)*1000, maxGrantNanos)
		l.queueUp(b, &in.req)
	}
}

// freshRoom is the longest value that an empty reply datagram takes.
func (b *builder) freshRoom() int {
	return b.limit - b.header.Bytes() - wire.ReplyOpHeaderBytes
}

// next closes the datagram being filled, if it holds anything, and opens another
// one. False when there is no frame.
func (l *Loop) next() bool {
	b := &l.reply
	if b.isOpen && b.w.Count() == 0 {
		return true
	}
	rx, ok := l.lease(b.like)
	if !ok {
		return false
	}
	l.close()
	b.rx, b.like, b.isOpen = rx, rx.Frame, true
	b.limit = min(b.limit, cap(rx.Payload))
	b.w.Begin(rx.Payload[:b.limit], &b.header, l.sums)
	return true
}

func (l *Loop) lease(like port.Frame) (port.Rx, bool) {
	if l.leaseQuota == 0 {
		return port.Rx{}, false
	}
	rx, ok := l.port.Lease(like)
	if ok {
		l.leaseQuota--
	}
	return rx, ok
}

// add puts an operation without a value into the reply.
func (l *Loop) add(op *wire.ReplyOp) {
	l.counts.status[op.Status]++
	if !l.makeRoom(0) {
		l.counts.reason[ReasonNoReplyFrame]++
		return
	}
	op.Value = nil
	l.reply.w.AppendSummed(op, 0)
}

// addValue puts an operation with a short value of its own, or a part of it, into
// the reply.
func (l *Loop) addValue(op *wire.ReplyOp, value []byte) {
	op.Value, op.CRC, op.TotalBytes = value, checksum.CRC(value), max(op.TotalBytes, uint32(len(value)))
	if !l.makeRoom(len(value)) {
		l.addOverloaded(op)
		return
	}
	l.counts.status[op.Status]++
	l.reply.w.AppendSummed(op, checksum.Sum(value))
}

// addOverloaded says that there is no frame for a value.
func (l *Loop) addOverloaded(op *wire.ReplyOp) {
	l.counts.reason[ReasonNoReplyFrame]++
	if l.reply.isOpen && l.reply.w.RoomBytes() >= 0 {
		l.counts.status[wire.StatusOverloaded]++
		l.reply.w.AppendSummed(&wire.ReplyOp{Code: op.Code, Index: op.Index, Status: wire.StatusOverloaded}, 0)
	}
}

// makeRoom sees to it that a value of that many bytes fits into the datagram being
// filled.
func (l *Loop) makeRoom(valueBytes int) bool {
	if l.reply.isOpen && l.reply.w.RoomBytes() >= valueBytes {
		return true
	}
	return l.next() && l.reply.w.RoomBytes() >= valueBytes
}

// close hands the datagram being filled on. One that holds nothing is released.
func (l *Loop) close() { l.closeWith(outside{}) }

// closeWith does so with a tail, whose token the port gives back.
func (l *Loop) closeWith(v outside) {
	b := &l.reply
	if !b.isOpen {
		return
	}
	b.isOpen = false
	if b.w.Count() == 0 {
		l.port.Release(b.rx.Frame)
		return
	}
	tx := l.finishWriter(&b.w, b.rx.Frame)
	v.put(&tx)
	l.depart(tx, &b.departNanos, b.kbit)
}

// finishWriter completes a reply's header.
func (l *Loop) finishWriter(w *wire.ReplyWriter, f port.Frame) port.Tx {
	if w.Header.Flags&wire.FlagStages != 0 {
		w.Header.Stages.SentNanos = uint64(l.clock())
	}
	bytes := w.Finish()
	l.counts.n[board.CountDatagramsOut]++
	l.counts.n[board.CountBytesOut] += uint64(bytes)
	return port.Tx{Frame: f, Bytes: bytes, PayloadSum: w.Sum(), HasSum: l.sums}
}

func (l *Loop) clock() int64 {
	if l.cfg.Clock == nil {
		return l.nowNanos
	}
	return l.cfg.Clock()
}
