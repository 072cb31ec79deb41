package bench

import (
	"sync/atomic"

	"gannet/wire"
)

// kind says what was wrong with an answer: a wire.Status, or one of those below.
type kind uint8

const (
	kindMalformed   kind = 64 + iota // the answer could not be read
	kindRefused                      // the server answered with an error line
	kindUnexpected                   // an answer to another question
	kindUnreachable                  // a datagram that nobody can be asked for: see transport
	kindCount
)

var kindNames = map[kind]string{
	kindMalformed: "malformed", kindRefused: "refused", kindUnexpected: "unexpected", kindUnreachable: "unreachable",
}

func (k kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return wire.Status(k).String()
}

// counts are those of one phase on one thread.
type counts struct {
	requests, replies, lost, late    uint64
	keys, hits, misses, stored       uint64
	corrupt, unsent                  uint64
	errors                           [kindCount]uint64
	stages, queuedNanos, servedNanos uint64
}

func (c *counts) add(o *counts) {
	c.requests += o.requests
	c.replies += o.replies
	c.lost += o.lost
	c.late += o.late
	c.keys += o.keys
	c.hits += o.hits
	c.misses += o.misses
	c.stored += o.stored
	c.corrupt += o.corrupt
	c.unsent += o.unsent
	for k := range c.errors {
		c.errors[k] += o.errors[k]
	}
	c.stages += o.stages
	c.queuedNanos += o.queuedNanos
	c.servedNanos += o.servedNanos
}

func (c *counts) allErrors() (sum uint64) {
	for _, n := range c.errors {
		sum += n
	}
	return sum
}

// refused is what the server would not do for want of capacity.
func (c *counts) refused() uint64 {
	return c.errors[wire.StatusOverloaded] + c.errors[wire.StatusTooLate]
}

// totals are what a thread tells the others now and then; only it writes them.
type totals struct {
	requests, replies, keys, lost, errors, stored atomic.Uint64
	_                                             [16]byte // a cache line of its own
}

func (t *totals) publish(all *[phaseCount]counts) {
	around, window := &all[phaseAround], &all[phaseWindow]
	t.requests.Store(around.requests + window.requests)
	t.replies.Store(around.replies + window.replies)
	t.keys.Store(around.keys + window.keys)
	t.lost.Store(around.lost + window.lost)
	t.errors.Store(around.allErrors() + window.allErrors())
	t.stored.Store(all[phasePreload].stored)
}
