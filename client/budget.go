package client

import (
	"sync/atomic"
	"time"
)

// budget bounds what the client sends beyond one datagram a request, so that it does
// not add to the trouble of a node that is in some: second questions to another
// replica, what is sent again after a silence, questions after the ring and after a
// node's health. Each call earns a share of one. The last of what is saved up is for
// the reads of a node that has fallen silent: without it, nobody would find out.
type budget struct {
	milli       atomic.Int64
	resendNanos atomic.Int64 // when one was sent again beyond the budget last
	widenNanos  atomic.Int64 // when another replica was asked beyond it last
}

const (
	milliEach = 1000
	// burstMilli is what may be saved up: a node that dies fails all calls to it at once.
	// As much may be owed.
	burstMilli = 64 * milliEach
	// Not to be spent on second questions about nodes that do answer, just later than
	// usual, and on repetitions.
	forSilentMilli = burstMilli / 2
	// trickleNanos is between two repetitions that nothing pays for, and two second
	// questions: a client that does little must get over a lost datagram, too.
	trickleNanos = int64(100e6)
	// creditEach is what an answer to a datagram that was sent once is worth, in
	// repetitions, and mostCredit what a node may have saved up.
	creditEach = 2
	mostCredit = 16
	// silentAfter is for how long a node whose breaker is open must have said nothing to
	// count as silent.
	silentAfter = 100 * time.Millisecond
)

func (b *budget) earn(share float64) {
	if b.milli.Add(int64(share*milliEach)) > burstMilli {
		b.milli.Store(burstMilli)
	}
}

// take takes the price of a datagram, if more than so much is there.
func (b *budget) take(spareMilli int64) bool {
	if b.milli.Add(-milliEach) >= spareMilli {
		return true
	}
	b.milli.Add(milliEach)
	return false
}

// owe takes it in any case.
func (b *budget) owe() {
	if b.milli.Add(-milliEach) < -burstMilli {
		b.milli.Store(-burstMilli)
	}
}

// trickle gives leave now and then; last is when it did.
func trickle(last *atomic.Int64, nowNanos int64) bool {
	before := last.Load()
	return nowNanos-before >= trickleNanos && last.CompareAndSwap(before, nowNanos)
}

// credit is what a node has earned by answers to what was sent once. Where datagrams
// get lost on the way, and the node is well, there are such answers still: then what is
// lost is sent again also when the budget is spent. A node that is silent, or slower
// than the timeout, earns nothing.
type credit struct{ n atomic.Int32 }

func (c *credit) earn() {
	if c.n.Load() < mostCredit {
		c.n.Add(creditEach)
	}
}

func (c *credit) take() bool {
	for {
		n := c.n.Load()
		if n <= 0 {
			return false
		}
		if c.n.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// mayResend says whether a call whose last datagrams were followed by silence may be
// sent again now. What asks for the rest of an answer always may: it is as much as was
// lost.
func (c *call) mayResend(nowNanos int64) bool {
	c.mu.Lock()
	progress := c.replyNanos > max(c.targets[0].sentNanos, c.targets[1].sentNanos)
	aims := c.aims
	c.mu.Unlock()
	if progress {
		return true
	}
	for i := range aims {
		if !c.isBehind(i) && !c.mayAskAgain(c.targets[i].node, nowNanos) {
			return false
		}
	}
	return true
}

// mayAskAgain says whether a datagram may be sent to a node again. One that is known
// to be silent is probed instead, until it is not.
func (c *call) mayAskAgain(n *node, nowNanos int64) bool {
	cl := c.client
	ill := c.routes != nil && len(c.routes.nodes) > 1 && !cl.isUsable(n) && nowNanos-n.heardNanos.Load() > int64(silentAfter)
	switch {
	case !ill && cl.budget.take(forSilentMilli):
		return true
	case !ill && n.credit.take(), trickle(&cl.budget.resendNanos, nowNanos):
		cl.budget.owe()
		return true
	}
	return false
}
