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
		case g.Outcome != shard.Hit || len(g.Item.Value) >= l.tailBytes || l.store.HasHeaderRoom(len(g.Item.Value)):
			return false
		default:
			bytes += len(g.Item.Value)
		}
	}
	return bytes <= limit
}

// addShort answers a plain GET that hits a value to be copied, in a reply that was
// opened: of many that do not all fit into one datagram. False, with nothing done,
// when it is another one.
func (l *Loop) addShort(g *shard.Get, a *ask) bool {
	n := len(g.Item.Value)
	if g.Outcome != shard.Hit || a.refused != wire.StatusOK || n >= l.tailBytes || l.store.HasHeaderRoom(n) || !l.makeRoom(n) {
		return false
	}
	l.counts.n[board.CountGets]++
	l.addPlain(&l.reply.w, g, a.index)
	l.loss.line.Sent(n, false)
	return true
}

// addPlain writes the answer to one GET, a miss or a hit.
func (l *Loop) addPlain(w *wire.ReplyWriter, g *shard.Get, index uint16) {
	if g.Outcome == shard.Miss {
		l.counts.status[wire.StatusMiss]++
		w.AppendSummed(&wire.ReplyOp{Code: wire.Get, Index: index, Status: wire.StatusMiss}, 0)
		return
	}
	item := &g.Item
	n := len(item.Value)
	grantMillis := l.grants.hint(g.Hash, item.AgeSeconds)
	l.counts.status[wire.StatusOK]++
	l.counts.n[board.CountValueBytesCopied] += uint64(n)
	if n <= sumWhileCopying {
		crc := uint32(0)
		if n > 0 {
			crc = item.CRC(0)
		}
		w.AppendHit(wire.Version(item.Version), item.TTLSeconds, item.AgeSeconds, crc, index, grantMillis, item.Value)
		return
	}
	crc, sum := partSums(item, 0, n)
	w.AppendHitSummed(wire.Version(item.Version), item.TTLSeconds, item.AgeSeconds, crc, index, grantMillis, item.Value, sum)
}
