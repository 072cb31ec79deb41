package dataplane

import (
	"gannet/board"
	"gannet/dataplane/port"
	"gannet/shard"
	"gannet/wire"
)

// sumWhileCopying is the length up to which the shard stores no sums of values: the
// copy into the frame computes them.
const sumWhileCopying = 128

// answerPlain answers a datagram of plain GETs whose answers all fit into its own
// frame, by copy: the common case, with no more work than it takes. False, with
// nothing done, when it is another one.
func (l *Loop) answerPlain(p *pending) bool {
	in := p.in
	req := &in.req
	if req.Flags&wire.FlagStages != 0 || l.neighbor.rate(req) != 0 {
		return false
	}
	limit := min(req.ReplyRoomBytes(), l.anyPayload, cap(in.rx.Payload))
	if !l.allPlain(p, limit) {
		return false
	}
	w := &l.reply.w
	w.BeginEcho(in.rx.Payload[:limit], l.sums)
	for i := p.from; i < p.upto; i++ {
		l.addPlain(w, &l.gets[i], l.asks[i].index)
	}
	bytes := w.FinishEcho(req, l.epoch, l.load.figure, in.rx.Queue)
	n := &l.counts.n
	n[board.CountGets] += uint64(p.upto - p.from)
	n[board.CountDatagramsOut]++
	n[board.CountBytesOut] += uint64(bytes)
	l.accountPlain(req, bytes)
	l.appendTx(in.rx.Frame, bytes, w.Sum())
	return true
}

// appendTx puts a reply without a tail on the list of those to be sent. It writes into
// the place, which is clear: a literal would be built elsewhere, in words, and copied in
// double words, which stalls until the words have left the store buffer.
func (l *Loop) appendTx(f port.Frame, bytes int, sum uint16) {
	n := len(l.tx)
	l.tx = l.tx[:n+1]
	tx := &l.tx[n]
	tx.Frame, tx.Bytes, tx.PayloadSum, tx.HasSum = f, bytes, sum, l.sums
}

// allPlain says whether the answers are hits or misses that fit into limit bytes.
func (l *Loop) allPlain(p *pending, limit int) bool {
	bytes := wire.ReplyHeaderBytes
	for i := p.from; i < p.upto; i++ {
		g := &l.gets[i]
		bytes = (bytes+wire.AlignBytes-1)&^(wire.AlignBytes-1) + wire.ReplyOpHeaderBytes
		if l.asks[i].refused != wire.StatusOK {
			return false
		}
		switch {
		case g.Outcome == shard.Miss:
		case g.Outcome != shard.Hit || len(g.Item.Value) >= l.tailBytes || l.store.HeaderRoom(g.Item.Handle) != 0:
			return false
		default:
			bytes += len(g.Item.Value)
		}
	}
	return bytes <= limit
}

// addPlain writes the answer to one GET.
func (l *Loop) addPlain(w *wire.ReplyWriter, g *shard.Get, index uint16) {
	op := wire.ReplyOp{Code: wire.Get, Index: index}
	if g.Outcome == shard.Miss {
		op.Status = wire.StatusMiss
		l.counts.status[wire.StatusMiss]++
		w.AppendSummed(&op, 0)
		return
	}
	item := &g.Item
	op.Version = wire.Version(item.Version)
	op.TTLSeconds, op.AgeSeconds = item.TTLSeconds, item.AgeSeconds
	op.Value, op.TotalBytes = item.Value, uint32(len(item.Value))
	l.grants.hint(&op, g.Hash)
	l.counts.status[wire.StatusOK]++
	l.counts.n[board.CountValueBytesCopied] += uint64(len(item.Value))
	switch n := len(item.Value); {
	case n == 0:
		w.AppendSummed(&op, 0)
	case n <= sumWhileCopying:
		op.CRC = item.Units.CRC(0)
		w.Append(&op)
	default:
		var sum uint16
		op.CRC, sum = partSums(&item.Units, 0, n)
		w.AppendSummed(&op, sum)
	}
}
