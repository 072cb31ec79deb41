package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gannet/wire"
)

// fencedPause is the wait before a write is tried again at a leader that may not
// acknowledge writes just now: a promotion waits a fence out, which takes as long as
// 200 ms.
const fencedPause = 10 * time.Millisecond

// answerTime must be left for a write to be tried again: one that ends without an
// answer may or may not have been done, where a refused one has not.
const answerTime = 30 * time.Millisecond

// carry brings a call with one operation to the node that is to answer it, wherever
// the ring moves meanwhile, and returns its outcome. The call has no target yet.
func (c *Client) carry(ctx context.Context, call *call, deadlineNanos int64) error {
	c.budget.earn(c.settings.retryShare)
	op := &call.ops[0]
	for fenced := false; ; {
		routes, err := c.route(ctx, deadlineNanos)
		if err != nil {
			return err
		}
		if err := c.aim(ctx, call, routes, deadlineNanos); err != nil {
			if c.outlasts(ctx, routes, err, deadlineNanos) {
				continue
			}
			return err
		}
		err = call.deliver(ctx, deadlineNanos)
		if !op.ask.Code.Writes() {
			call.judge(err)
		}
		switch {
		case errors.Is(err, errRerouted):
			if op.ask.Code.Writes() && !repeatable(op.ask.Code) {
				return ErrOutcomeUnknown // the former leader may have done it
			}
		case err != nil && fenced:
			return fmt.Errorf("%w; it was refused before: %w", err, ErrFenced)
		case err != nil:
			return err
		case call.turnsBack(op):
			call.atLeader = true
			c.counters.turnedBack.Add(1)
			call.again()
			continue
		case op.failure == nil && (op.answer.Status == wire.StatusMoved || call.outdated(op)):
			if !c.chase(ctx, call, deadlineNanos) {
				return nil
			}
		case op.failure == nil && op.answer.Status == wire.StatusFenced && routes.ring != nil:
			fenced = true
			c.doubt(call.node())
			// What is tried again must have time to be answered.
			if !c.pause(ctx, routes, fencedPause, deadlineNanos-int64(answerTime)) {
				return nil
			}
		default:
			return nil
		}
		c.counters.moved.Add(1)
		call.again()
	}
}

// deliver sends the call in the form that fits its target: a value too long for a
// datagram goes in parts.
func (c *call) deliver(ctx context.Context, deadlineNanos int64) error {
	ask := &c.ops[0].ask
	if ask.Code.Writes() {
		if limit := c.node().info.Load().MaxValueBytes; uint64(len(ask.Value)) > uint64(limit) {
			return fmt.Errorf("%w: value of %d bytes, the node takes %d", ErrTooLarge, len(ask.Value), limit)
		}
		if wire.RequestHeaderBytes+ask.Bytes() > c.node().payloadBytes() {
			return c.upload(ctx, deadlineNanos)
		}
	}
	return c.exchange(ctx, deadlineNanos)
}

// repeatable says whether a write may be sent to another leader although the former
// one may have done it: its effect is the same.
func repeatable(code wire.Opcode) bool {
	switch code {
	case wire.Put, wire.Delete, wire.Touch, wire.Replace:
		return true
	}
	return false
}

// aim chooses the call's target by the routes, and makes sure that it is known.
func (c *Client) aim(ctx context.Context, call *call, routes *routes, deadlineNanos int64) error {
	n := routes.leader(call.hash)
	if ask := &call.ops[0].ask; ask.Code == wire.Get {
		if !call.atLeader {
			n = c.pickReader(routes, call.hash, ask.Flags&wire.OpLease != 0)
		}
		call.mayHedge = routes.ring != nil
	}
	if n == nil {
		return ErrUnavailable
	}
	info, err := n.ready(ctx, c.helloLimit(routes, n, deadlineNanos))
	if err != nil && call.mayHedge && !call.atLeader {
		n, info, err = c.standIn(ctx, routes, call.hash, n, deadlineNanos, err)
	}
	if err != nil {
		c.doubt(n)
		return err
	}
	call.routes = routes
	call.aimKey(n, info, call.hash)
	return nil
}

// helloLimit is how long to wait for the HELLO of a node that others can stand in
// for; the only one gets all the time there is.
func (c *Client) helloLimit(routes *routes, n *node, deadlineNanos int64) int64 {
	if routes.ring == nil || len(routes.nodes) == 1 {
		return deadlineNanos
	}
	return min(deadlineNanos, c.nowNanos()+int64(greetWait))
}

// standIn finds another replica for a read whose first choice does not say HELLO.
func (c *Client) standIn(ctx context.Context, routes *routes, hash uint64, not *node, deadlineNanos int64, cause error) (*node, *nodeInfo, error) {
	not.breaker.RecordFailure()
	c.doubt(not)
	var room [maxReplicas]*node
	for _, n := range room[:routes.replicas(hash, &room)] {
		if n == not {
			continue
		}
		if info, err := n.ready(ctx, c.helloLimit(routes, n, deadlineNanos)); err == nil {
			return n, info, nil
		}
	}
	return nil, nil, cause
}

// chase follows a MOVED: it waits until there are newer routes than the call's, or a
// moment, since a node that lags behind says MOVED, too. False when the call's time is
// over: the answer that stands says why.
func (c *Client) chase(ctx context.Context, call *call, deadlineNanos int64) bool {
	token := uint32(call.ops[0].answer.Token)
	if call.routes.ring == nil || token > call.routes.epoch() {
		c.consult(call.winnerOr(call.node()))
	} else {
		c.doubt(call.node())
	}
	return c.pause(ctx, call.routes, fencedPause, deadlineNanos)
}

// outlasts says whether to try again after a node did not say HELLO: in a cluster
// another one will take its place.
func (c *Client) outlasts(ctx context.Context, routes *routes, err error, deadlineNanos int64) bool {
	if routes.ring == nil || len(routes.nodes) == 1 || !errors.Is(err, ErrTimeout) && !errors.Is(err, ErrUnavailable) {
		return false
	}
	return c.pause(ctx, routes, fencedPause, deadlineNanos)
}

// pause waits for newer routes, at most for d. False when the call's time is over.
func (c *Client) pause(ctx context.Context, routes *routes, d time.Duration, deadlineNanos int64) bool {
	if c.nowNanos()+int64(d) >= deadlineNanos {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-routes.superseded:
		return true
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-c.closing:
		return false
	}
}

// winnerOr is who gave the last answer.
func (c *call) winnerOr(n *node) *node {
	if c.winner != nil {
		return c.winner
	}
	return n
}

// again makes a call ready for another exchange.
func (c *call) again() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.targets, c.aims = [2]target{}, 0
	c.winner, c.firstNanos, c.replyNanos = nil, 0, 0
	c.resend, c.unavailable = false, false
	for i := range c.ops {
		op := &c.ops[i]
		if op.done {
			op.done, op.failure = false, nil
			c.left++
		}
		op.heldFrom = nil
		if op.parts != nil {
			op.parts.reset()
		}
	}
}
