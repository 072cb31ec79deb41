package dataplane

import (
	"gannet/board"
	"gannet/wire"
)

// losses is where the loop notes what a client of many nodes is sent, and what it
// asks for again.
type losses struct {
	table *board.Losses
	line  board.LossLine // of the datagram being answered; zero = none
}

// account finds the line of a request's sender. Who asks one node alone, without a
// grant, has none: a GET of that kind costs nothing here.
func (l *Loop) account(req *wire.Request) {
	l.loss.line = board.LossLine{}
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
