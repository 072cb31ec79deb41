package dataplane

import (
	"gannet/board"
	"gannet/dataplane/port"
	"gannet/shard"
	"gannet/wire"
)

// outside is a piece of a value that leaves from where it lies; the zero value is
// none.
type outside struct {
	tail      []byte
	token     uint64 // the item is pinned until the port returns it
	roomBytes int    // in front of tail, for the headers
}

// put makes v part of a datagram to send.
func (v *outside) put(tx *port.Tx) {
	tx.Tail, tx.Token, tx.RoomBytes = v.tail, v.token, v.roomBytes
}

// Tokens hold a handle, and say what is to be given back. None is zero.
const (
	tokenPin  = 1 << 32 // a pin
	tokenRoom = 1 << 33 // the header room, with its pin
)

// sendOutside decides how a part of a value leaves, and pins its item when that is
// not by copy. In order:
//
//	in place    the part begins the value and alone fills the datagram, the slot has
//	            header room that no other reply uses now: one descriptor
//	tail        the port takes a second descriptor
//	copy        the rest: small values; parts in the middle of a value and items asked
//	            for again while their slot is in flight, where one descriptor is all
//	            that the driver takes. Such an item is in the CPU's cache anyway.
func (l *Loop) sendOutside(w *wire.ReplyWriter, item *shard.Item, from, upto int) outside {
	bytes := uint64(upto - from)
	tail := item.Value[from:upto:upto]
	room := l.store.HeaderRoom(item.Handle)
	if from == 0 && l.fitsInPlace(w, room) {
		if l.store.TakeRoom(item.Handle) {
			l.counts.n[board.CountInPlaceSent]++
			l.counts.n[board.CountValueBytesInPlace] += bytes
			return outside{tail, tokenRoom | uint64(item.Handle), room}
		}
		l.counts.n[board.CountRoomBusy]++
	}
	if upto-from >= l.tailBytes && l.store.Pin(item.Handle) {
		l.counts.n[board.CountTailsSent]++
		l.counts.n[board.CountValueBytesTail] += bytes
		return outside{tail, tokenPin | uint64(item.Handle), 0}
	}
	l.counts.n[board.CountValueBytesCopied] += bytes
	if room > 0 {
		l.counts.n[board.CountLargeBytesCopied] += bytes
	}
	return outside{}
}

// fitsInPlace says whether the headers of a datagram that holds nothing yet fit
// into room.
func (l *Loop) fitsInPlace(w *wire.ReplyWriter, room int) bool {
	need := l.caps.InPlaceBytes
	return need > 0 && l.cfg.TailBytes >= 0 && w.Count() == 0 && room >= need+w.Header.Bytes()+wire.ReplyOpHeaderBytes
}

// answerInPlace answers a datagram of one plain GET that hits a large value in place,
// with no more work than that takes: the reply's header is laid over the request's,
// and the value stays where it is. False, with nothing done, when it is another one.
func (l *Loop) answerInPlace(p *pending) bool {
	g, req := &l.gets[p.from], &p.in.req
	if l.caps.InPlaceBytes == 0 || p.upto != p.from+1 || g.Outcome != shard.Hit || l.asks[p.from].refused != wire.StatusOK {
		return false
	}
	const head = wire.ReplyHeaderBytes + wire.ReplyOpHeaderBytes
	item := &g.Item
	room := l.store.HeaderRoom(item.Handle)
	limit := min(req.ReplyRoomBytes(), l.anyPayload)
	switch {
	case room < l.caps.InPlaceBytes+head, l.cfg.TailBytes < 0, head+len(item.Value) > limit, cap(p.in.rx.Payload) < head,
		req.Flags&wire.FlagStages != 0, l.neighbor.rate(req) != 0, !l.store.TakeRoom(item.Handle):
		return false
	}
	crc, sum := partSums(item, 0, len(item.Value))
	w := &l.reply.w
	w.BeginEcho(p.in.rx.Payload[:min(limit, cap(p.in.rx.Payload))], l.sums)
	op := wire.ReplyOp{
		Code: wire.Get, Index: l.asks[p.from].index, Version: wire.Version(item.Version), TTLSeconds: item.TTLSeconds,
		AgeSeconds: item.AgeSeconds, CRC: crc, TotalBytes: uint32(len(item.Value)),
	}
	op.Grant(l.grants.hint(g.Hash, item.AgeSeconds))
	w.AppendExternal(&op, len(item.Value), sum)
	bytes := w.FinishEcho(req, l.epoch, l.load.figure, p.in.rx.Queue)
	l.counts.status[wire.StatusOK]++
	n := &l.counts.n
	n[board.CountGets]++
	n[board.CountDatagramsOut]++
	n[board.CountBytesOut] += uint64(bytes + len(item.Value))
	n[board.CountInPlaceSent]++
	n[board.CountValueBytesInPlace] += uint64(len(item.Value))
	l.accountPlain(req, len(item.Value))
	l.tx = append(l.tx, port.Tx{
		Frame: p.in.rx.Frame, Bytes: bytes, PayloadSum: w.Sum(), HasSum: l.sums,
		Tail: item.Value, Token: tokenRoom | uint64(item.Handle), RoomBytes: room,
	}) // the slot is the port's to read now
	return true
}

// giveBack ends what a token stands for.
func (l *Loop) giveBack(token uint64) {
	if token&tokenRoom != 0 {
		l.store.ReturnRoom(shard.Handle(token))
		return
	}
	l.store.Unpin(shard.Handle(token))
}
