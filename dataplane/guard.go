package dataplane

import (
	"gannet/board"
	"gannet/dataplane/port"
	"gannet/wire"
)

// verdict says which stage serves a datagram.
type verdict uint8

const (
	verdictNone   verdict = iota
	verdictGone           // dropped, or handed over
	verdictDone           // its GETs are served
	verdictGets           // perhaps GETs alone: the lookup stage
	verdictOps            // anything else with a key: the write stage
	verdictStatus         // one status for the whole datagram
	verdictPing
	verdictHello
)

// guard gives each datagram its verdict, and answers those that need no shard.
func (l *Loop) guard() {
	for i := range l.batch[:l.batchSize] {
		in := &l.batch[i]
		if in.verdict == verdictGone {
			continue
		}
		in.verdict = l.judge(in)
		switch in.verdict {
		case verdictStatus:
			l.answerStatus(in)
		case verdictPing:
			l.answerPing(in)
		case verdictHello:
			l.answerHello(in)
		}
	}
}

func (l *Loop) judge(in *inbound) verdict {
	if in.reason != wire.ReasonNone {
		return l.judgeMalformed(in)
	}
	switch {
	case in.code == wire.Ping:
		return verdictPing
	case in.code == wire.Hello:
		return verdictHello
	case l.foreign(in):
		l.handOver(in, int(in.req.Shard))
		return verdictGone
	case !l.proven(in):
		return l.refuse(in, wire.StatusCookieRequired, ReasonNoCookie)
	case l.late(in):
		return l.judgeLate(in)
	case int(in.req.Shard) != l.cfg.Shard:
		return l.refuse(in, wire.StatusMoved, ReasonWrongShard)
	case in.code == wire.Get:
		return verdictGets
	}
	return verdictOps
}

// foreign says whether a datagram is to be handed over to another shard. Kernel
// sockets cannot: the other shard's has another port, from which no client takes an
// answer. There the sender used the wrong port, and is told so.
func (l *Loop) foreign(in *inbound) bool {
	to := int(in.req.Shard)
	return to != l.cfg.Shard && to < l.cfg.Shards && l.caps.Rung != port.RungUDP
}

// judgeMalformed answers a malformed datagram only to a sender who is proven.
func (l *Loop) judgeMalformed(in *inbound) verdict {
	if !in.req.HeaderRead() || in.req.Cookie == 0 || !l.proven(in) {
		l.drop(in, ReasonMalformedUnproven)
		return verdictGone
	}
	return l.refuse(in, in.reason.Status(), ReasonMalformedAnswered)
}

// judgeLate answers some of the late datagrams of a turn and drops the others:
// their senders have given up on them anyway.
func (l *Loop) judgeLate(in *inbound) verdict {
	if l.lateQuota == 0 {
		l.drop(in, ReasonLateDropped)
		return verdictGone
	}
	l.lateQuota--
	return l.refuse(in, wire.StatusTooLate, ReasonLateAnswered)
}

func (l *Loop) refuse(in *inbound, status wire.Status, why Reason) verdict {
	l.counts.reason[why]++
	in.status = status
	switch status {
	case wire.StatusCookieRequired:
		in.token = l.cookies.Make(in.rx.From.IP, in.rx.From.Port, l.nowNanos)
	case wire.StatusMoved:
		in.token = uint64(l.epoch)
	}
	return verdictStatus
}

func (l *Loop) proven(in *inbound) bool {
	known := l.proofs.of(&in.rx.From)
	if known.holds(&in.rx.From, in.req.Cookie, l.nowNanos) {
		return true
	}
	if !l.cookies.Valid(in.req.Cookie, in.rx.From.IP, in.rx.From.Port, l.nowNanos) {
		return false
	}
	*known = proof{from: in.rx.From, cookie: in.req.Cookie, untilNanos: l.nowNanos + proofNanos}
	return true
}

// late says whether a datagram is not worth serving. When the shard is behind,
// half of the budget must be left: a reply that sets out as the budget ends comes
// too late, and the work would be lost.
func (l *Loop) late(in *inbound) bool {
	if in.req.BudgetMicros == 0 {
		return false
	}
	waited := l.nowNanos - in.rx.ArrivedNanos
	budget := int64(in.req.BudgetMicros) * 1000
	if l.load.behind() {
		budget /= 2
	}
	return waited >= budget
}

// answerStatus answers a datagram as a whole: an operation without opcode.
func (l *Loop) answerStatus(in *inbound) {
	proven := in.status != wire.StatusCookieRequired
	l.open(in, proven)
	l.add(&wire.ReplyOp{Status: in.status, Token: in.token})
	l.close()
}

func (l *Loop) answerPing(in *inbound) {
	l.counts.n[board.CountPings]++
	l.open(in, false)
	if echo := l.echo(in); len(echo) > 0 {
		l.addValue(&wire.ReplyOp{Code: wire.Ping}, echo)
	} else {
		l.add(&wire.ReplyOp{Code: wire.Ping})
	}
	l.close()
}

// echo is the padding that a PING gets back: all that fits, where the sender takes
// longer replies than usual and so tries whether the path does. The reply still is no
// longer than the request. It is written over the request, of which the echo is the
// end: the padding only moves.
func (l *Loop) echo(in *inbound) []byte {
	if in.req.MaxReplyBytes <= wire.DefaultReplyRoomBytes {
		return nil
	}
	ops := in.req.Ops()
	var op wire.Op
	if !ops.Next(&op) {
		return nil
	}
	return op.Value[:min(len(op.Value), max(0, l.reply.w.RoomBytes()))]
}

// answerHello gives out limits and a fresh cookie, in a reply no longer than the
// request.
func (l *Loop) answerHello(in *inbound) {
	l.counts.n[board.CountHellos]++
	hello := wire.HelloReply{
		Shards: uint16(l.cfg.Shards), BasePort: l.cfg.BasePort,
		MaxValueBytes: uint32(l.cfg.MaxValueBytes), MaxPayloadBytes: uint32(l.maxPayload(&in.rx.From)),
		NodeID: l.cfg.NodeID, BootID: l.cfg.BootID, NowNanos: uint64(l.nowNanos),
	}
	var value [wire.HelloReplyBytes]byte
	hello.Put(value[:])
	token := l.cookies.Make(in.rx.From.IP, in.rx.From.Port, l.nowNanos)
	l.open(in, false)
	l.addValue(&wire.ReplyOp{Code: wire.Hello, Token: token}, value[:])
	l.close()
}

func (l *Loop) maxPayload(to *port.Addr) int {
	if to.Is4() {
		return l.caps.MaxPayload
	}
	return l.caps.MaxPayload6
}
