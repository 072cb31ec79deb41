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
	outdated, ringsFailed  atomic.Uint64
	hedged, avoided, moved atomic.Uint64
	loads, loadWaits       atomic.Uint64
	loadsShared            atomic.Uint64
	refreshes, refreshLost atomic.Uint64
	l1Hits, padded         atomic.Uint64
	invalidations, flushes atomic.Uint64
	streamsBroken          atomic.Uint64
	heldBack, turnedBack   atomic.Uint64
	malformed              [wire.ReasonCount]atomic.Uint64
}

// Counters is a snapshot of what the client's sockets have seen.
type Counters struct {
	Sent     uint64 // datagrams
	Received uint64 // well-formed replies
	Resent   uint64 // datagrams sent again after a silence
	HeldBack uint64 // times that one was not, for a moment: the retry share was spent
	// Dropped counts what was received and not used, by reason: "late" (its call
	// was over: a duplicate, or slower than the deadline), "foreign" (another
	// session), "outdated" (of an older ring than the client's), "corrupt" (a value that fails its checksum) and the reasons for
	// which a datagram is malformed.
	Dropped      map[string]uint64
	Refused      uint64 // the node's port was closed
	Moved        uint64 // calls sent on to another node after MOVED or a newer ring
	Hedged       uint64 // reads that asked a second replica as well
	TurnedBack   uint64 // reads sent on to the leader by a follower that has less than was asked for
	Avoided      uint64 // reads that left out a node whose breaker was open
	RingsFailed  uint64 // a node had a newer ring, and did not hand it out
	SocketErrors uint64 // of other kinds

	Loads       uint64 // load functions run by GetOrLoad
	LoadsShared uint64 // calls that joined a load of this client
	LoadWaits   uint64 // waits for another client's load
	Refreshes   uint64 // of these loads, the ones in the background
	RefreshLost uint64 // refreshes left to a later Get: all refreshers were busy

	L1Hits        uint64 // reads answered by this client's own copies
	Invalidations uint64 // heard of
	Flushes       uint64 // orders to drop copies of a node's items, or all
	StreamsBroken uint64 // streams of invalidations that ended, or could not be had

	Padded uint64 // reads as long as their reply, for the kernel to answer
}

// Counters returns what the client's sockets have seen so far.
func (c *Client) Counters() Counters {
	k := &c.counters
	out := Counters{
		Sent: k.sent.Load(), Received: k.received.Load(), Resent: k.resent.Load(), HeldBack: k.heldBack.Load(),
		Refused: k.refused.Load(), SocketErrors: k.socketErrors.Load(),
		Moved: k.moved.Load(), Hedged: k.hedged.Load(), TurnedBack: k.turnedBack.Load(), Avoided: k.avoided.Load(), RingsFailed: k.ringsFailed.Load(),
		Loads: k.loads.Load(), LoadsShared: k.loadsShared.Load(), LoadWaits: k.loadWaits.Load(), Refreshes: k.refreshes.Load(), RefreshLost: k.refreshLost.Load(),
		L1Hits: k.l1Hits.Load(), Invalidations: k.invalidations.Load(), Flushes: k.flushes.Load(), StreamsBroken: k.streamsBroken.Load(),
		Padded: k.padded.Load(), Dropped: map[string]uint64{},
	}
	drop := func(reason string, n uint64) {
		if n != 0 {
			out.Dropped[reason] = n
		}
	}
	drop("late", k.late.Load())
	drop("foreign", k.foreign.Load())
	drop("outdated", k.outdated.Load())
	drop("corrupt", k.corrupt.Load())
	for reason := range k.malformed {
		drop(wire.Reason(reason).String(), k.malformed[reason].Load())
	}
	return out
}
