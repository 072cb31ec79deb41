package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gannet/ring"
	"gannet/wire"
)

const (
	// askWait bounds one attempt to get a ring from one node.
	askWait = 200 * time.Millisecond
	// askPause paces the search for a newer ring while a node is silent; it doubles up to
	// askPauseMax as long as there is none.
	askPause    = 10 * time.Millisecond
	askPauseMax = 80 * time.Millisecond
	// maxRingBytes bounds what a node can make the client assemble.
	maxRingBytes = 1 << 20
	// ringTries is how often a ring that changes under the reader is begun anew.
	ringTries = 4
)

// route returns the routes, after finding the first ones if need be. Only one
// caller searches; the others wait for it.
func (c *Client) route(ctx context.Context, deadlineNanos int64) (*routes, error) {
	if ctx.Err() != nil {
		return nil, newTimeout(ctx, ErrTimeout, false)
	}
	if r := c.routes.Load(); r != nil {
		return r, nil
	}
	select {
	case c.searching <- struct{}{}:
		defer func() { <-c.searching }()
	case <-ctx.Done():
		return nil, newTimeout(ctx, ErrTimeout, false)
	case <-c.closing:
		return nil, ErrClosed
	}
	if r := c.routes.Load(); r != nil {
		return r, nil
	}
	return c.search(ctx, deadlineNanos)
}

// search asks the servers given to Open, one after the other, until one answers.
// The last gets all the time there is.
func (c *Client) search(ctx context.Context, deadlineNanos int64) (*routes, error) {
	var failures []error
	for i, seed := range c.seeds {
		limit := deadlineNanos
		if i < len(c.seeds)-1 {
			limit = min(limit, c.nowNanos()+int64(askWait))
		}
		err := c.askRing(ctx, seed, limit)
		switch {
		case err == nil:
			return c.routes.Load(), nil
		case errors.Is(err, errNoRing):
			c.settleFor(seed)
			return c.routes.Load(), nil
		}
		if len(c.seeds) == 1 {
			return nil, err
		}
		failures = append(failures, fmt.Errorf("%s: %w", seed.name, err))
	}
	return nil, errors.Join(failures...)
}

// errNoRing says that a node serves without a ring: it is older than RING, or its
// control process has not published one yet.
var errNoRing = errors.New("the node has no ring")

// askRing gets a node's ring over its data port and installs it.
func (c *Client) askRing(ctx context.Context, n *node, deadlineNanos int64) error {
	info, err := n.ready(ctx, deadlineNanos)
	if err != nil {
		return err
	}
	for range ringTries {
		encoded, changed, err := n.readRing(ctx, info, deadlineNanos)
		if err != nil {
			return err
		}
		if changed {
			continue
		}
		r, err := ring.Decode(encoded)
		if err != nil {
			return fmt.Errorf("%w: the ring of %s: %w", ErrProtocol, n.name, err)
		}
		c.install(r)
		return nil
	}
	return fmt.Errorf("%w: the ring of %s changed each time while it was read", ErrUnavailable, n.name)
}

// readRing reads the parts of an encoded ring; changed says that they were not all
// of one epoch.
func (n *node) readRing(ctx context.Context, info *nodeInfo, deadlineNanos int64) (encoded []byte, changed bool, err error) {
	var epoch wire.Version
	for total := 1; len(encoded) < total; {
		part, answer, err := n.ringPart(ctx, info, len(encoded), deadlineNanos)
		switch {
		case err != nil:
			return nil, false, err
		case epoch != 0 && answer.Version != epoch:
			return nil, true, nil
		case len(part) == 0 || answer.TotalBytes > maxRingBytes || int(answer.OffsetBytes) != len(encoded):
			return nil, false, fmt.Errorf("%w: part of a ring: %d bytes at %d of %d", ErrProtocol, len(part), answer.OffsetBytes, answer.TotalBytes)
		}
		epoch, total = answer.Version, int(answer.TotalBytes)
		encoded = append(encoded, part...)
	}
	return encoded, false, nil
}

func (n *node) ringPart(ctx context.Context, info *nodeInfo, offset int, deadlineNanos int64) ([]byte, wire.ReplyOp, error) {
	c := newCall(n.client)
	defer c.release()
	op := c.add(wire.Ring, "")
	op.ask.Arg = uint64(offset)
	c.aimAt(n, info, 0)
	if err := c.exchange(ctx, deadlineNanos); err != nil {
		return nil, wire.ReplyOp{}, err
	}
	switch op.answer.Status {
	case wire.StatusOK:
		return op.value, op.answer, nil
	case wire.StatusUnsupported, wire.StatusMiss, wire.StatusBadRequest:
		return nil, wire.ReplyOp{}, errNoRing
	}
	return nil, wire.ReplyOp{}, op.err()
}

// heard takes note of the epoch that a reply named. A newer one than the routes'
// makes the guide ask that node for its ring.
func (c *Client) heard(n *node, epoch uint32) {
	r := c.routes.Load()
	if r == nil || epoch <= r.epoch() || c.asked.Load() >= epoch {
		return
	}
	c.asked.Store(epoch)
	c.consult(n)
}

// consult wakes the guide: a node knows, or may know, of a newer ring.
func (c *Client) consult(n *node) {
	c.startGuide.Do(func() {
		if c.trackWorker() {
			go c.guide()
		}
	})
	select {
	case c.news <- n:
	default: // it is at work, and will look at what this call saw, too
	}
}

// doubt makes the guide ask the other members whether the ring has moved on: n is
// silent, refuses, or says that it may not do what the ring says is its part.
func (c *Client) doubt(n *node) {
	if r := c.routes.Load(); r == nil || len(r.nodes) < 2 {
		return // nobody to ask
	}
	now, before := c.nowNanos(), c.doubtedNanos.Load()
	pause := int64(askPause)
	if c.vain.Load() == c.epoch() { // asked under this ring before, in vain so far
		pause = min(2*c.doubtPause.Load(), int64(askPauseMax))
	}
	if now-before > int64(time.Second) {
		pause = int64(askPause)
	}
	if now < before || !c.doubtedNanos.CompareAndSwap(before, now+pause) {
		return
	}
	c.doubtPause.Store(pause)
	c.vain.Store(c.epoch())
	c.budget.owe()
	if other := c.otherThan(n); other != nil {
		c.consult(other)
	}
}

// otherThan picks a member at random that is not n.
func (c *Client) otherThan(n *node) *node {
	for _, other := range c.routes.Load().nodes { // the order of a map is random enough
		if other != n && !other.refusedWithin(askWait) {
			return other
		}
	}
	return nil
}

// guide gets newer rings from nodes that have them, until the client is closed.
func (c *Client) guide() {
	defer c.readers.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		select {
		case <-c.closing:
			return
		case n := <-c.news:
			err := c.askRing(ctx, n, c.nowNanos()+int64(askWait))
			if err != nil && !errors.Is(err, errNoRing) {
				c.counters.ringsFailed.Add(1)
				c.asked.Store(0) // the next reply that names the epoch asks again
			}
		}
	}
}
