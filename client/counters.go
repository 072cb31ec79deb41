package client

import (
	"sync/atomic"

	"gannet/wire"
)

// counters count datagrams, and what became of those that reached no call.
type counters struct {
	sent, received, resent atomic.Uint64
	late, foreign, corrupt atomic.Uint64
	refused, socketErrors  atomic.Uint64
	malformed              [wire.ReasonCount]atomic.Uint64
}

// Counters is a snapshot of what the client's sockets have seen.
type Counters struct {
	Sent     uint64 // datagrams
	Received uint64 // well-formed replies
	Resent   uint64 // datagrams sent again after a silence
	// Dropped counts what was received and not used, by reason: "late" (its call
	// was over: a duplicate, or slower than the deadline), "foreign" (another
	// session), "corrupt" (a value that fails its checksum) and the reasons for
	// which a datagram is malformed.
	Dropped      map[string]uint64
	Refused      uint64 // the node's port was closed
	SocketErrors uint64 // of other kinds
}

// Counters returns what the client's sockets have seen so far.
func (c *Client) Counters() Counters {
	k := &c.counters
	out := Counters{
		Sent: k.sent.Load(), Received: k.received.Load(), Resent: k.resent.Load(),
		Refused: k.refused.Load(), SocketErrors: k.socketErrors.Load(),
		Dropped: map[string]uint64{},
	}
	drop := func(reason string, n uint64) {
		if n != 0 {
			out.Dropped[reason] = n
		}
	}
	drop("late", k.late.Load())
	drop("foreign", k.foreign.Load())
	drop("corrupt", k.corrupt.Load())
	for reason := range k.malformed {
		drop(wire.Reason(reason).String(), k.malformed[reason].Load())
	}
	return out
}
