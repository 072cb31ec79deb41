package dataplane

import (
	"gannet/board"
	"gannet/shard"
	"gannet/wire"
)

// losses is where the loop notes what a client of many nodes is sent, and what it
// asks for again.
type losses struct {
	table  *board.Losses
	line   board.LossLine // of the datagram being answered; zero = none
	capped bool           // its sender has a cap that binds
}

// account finds the line of a request's sender. Who asks one node alone, without a
// grant, has none: a GET of that kind costs nothing here.
func (l *Loop) account(req *wire.Request) {
	l.loss.line, l.loss.capped = board.LossLine{}, false
	if req.GrantRateKbit != 0 || req.FanOut > 1 {
		l.loss.line = l.loss.table.Line(req.SessionID, l.nowNanos, req.GrantRateKbit)
	}
}

// accountPlain notes a reply that was built by a short road.
func (l *Loop) accountPlain(req *wire.Request, bytes int) {
	if req.FanOut > 1 {
		l.account(req)
		l.loss.line.Sent(bytes, false)
	}
}

// queueUp puts a reply to a capped session behind what is still to be sent to it: a
// cap holds for all its requests together.
func (l *Loop) queueUp(b *builder, req *wire.Request) {
	if l.loss.capped = b.kbit != req.GrantRateKbit; l.loss.capped {
		b.departNanos = max(b.departNanos, min(l.loss.line.Next(), l.nowNanos+maxGrantNanos))
	}
}

// noteDeparture files when the next reply to a capped session may leave.
func (l *Loop) noteDeparture() {
	if l.loss.capped {
		l.loss.line.SetNext(l.reply.departNanos)
	}
}

// overtake ends a reply that is still being sent when its receiver asks for the same
// value again, in another datagram: it no longer waits for the rest. True when there
// was one; then nothing was lost, the receiver was impatient.
func (l *Loop) overtake(h shard.Handle) (found bool) {
	cs := &l.continuations
	for i := cs.size - 1; i >= 0; i-- {
		c := &cs.list[i]
		mine := &l.reply.header
		if c.item.Handle != h || c.header.SessionID != mine.SessionID || c.header.RequestID == mine.RequestID || c.next >= c.upto {
			continue
		}
		if l.loss.capped {
			l.reply.departNanos -= longNanos(c.upto-c.next, partBytes(c.room()), c.header.Bytes()+wire.ReplyOpHeaderBytes, c.kbit)
			l.reply.departNanos = max(l.reply.departNanos, l.nowNanos)
		}
		l.port.Release(c.rx.Frame)
		l.endContinuation(i)
		found = true
	}
	return found
}
