package client

import (
	"context"
	"errors"
	"time"
)

// errRerouted ends an exchange whose keys have another leader by now.
var errRerouted = errors.New("the ring has changed")

// exchange sends the call and waits until every operation has its answer. It
// returns an error when that does not happen before the deadline. The call has
// left the pending tables when it returns.
func (c *call) exchange(ctx context.Context, deadlineNanos int64) error {
	c.enter()
	defer c.leave()
	for silences, to := 0, 0; ; {
		over, err := c.transmit(to, deadlineNanos)
		if over || err != nil {
			return err
		}
		again, err := c.await(ctx, silences, deadlineNanos)
		to = 0
		switch {
		case err != nil:
			return err
		case again == answered:
			return nil
		case again == widened:
			to = 1 // the first has its question already
		case again == silent:
			if c.settleHeld() {
				return nil
			}
			silences++
			c.node().path.silent()
			c.client.counters.resent.Add(uint64(c.aims))
		}
	}
}

// enter puts the call into its target's pending table.
func (c *call) enter() {
	id := c.client.nextIDs(1)
	c.mu.Lock()
	c.id, c.replyNanos = id, 0
	c.mu.Unlock()
	c.node().pending.add(id, c)
}

// leave takes the call out of the tables: from here on no reply touches it.
func (c *call) leave() {
	c.timer.Stop()
	c.mu.Lock()
	for i := range c.targets[:c.aims] {
		c.targets[i].node.pending.remove(c.id)
	}
	c.forgetEarlier()
	c.id = 0
	c.mu.Unlock()
}

// transmit builds the datagram and sends it to every target from one on. A socket that refuses
// to send is evidence like silence is: the wait that follows handles both. over is
// true when the last answer has come meanwhile.
func (c *call) transmit(from int, deadlineNanos int64) (over bool, err error) {
	for i := from; i < c.aims; i++ {
		if c.isBehind(i) {
			continue
		}
		if over, err = c.transmitTo(&c.targets[i], deadlineNanos); over || err != nil {
			return over, err
		}
	}
	return false, nil
}

func (c *call) transmitTo(t *target, deadlineNanos int64) (over bool, err error) {
	c.mu.Lock()
	keep := t.fixed || (t.sameConn && t.conn != nil)
	c.mu.Unlock()
	if !keep {
		k, err := t.node.socket(t.shard, t.generation)
		if err != nil {
			return false, err
		}
		c.mu.Lock()
		t.conn = k
		c.mu.Unlock()
	}
	now := c.client.nowNanos()
	c.mu.Lock()
	if over = c.left == 0; !over {
		c.build(t, now, deadlineNanos)
	}
	c.mu.Unlock()
	if !over {
		t.conn.send(c.datagram)
	}
	return over, nil
}

// operationAllowance is added to the wait for each further operation of a
// datagram, because round trips are measured mostly on datagrams of one.
const operationAllowance = 50 * time.Microsecond

// waited is how a wait ended.
type waited uint8

const (
	answered waited = iota // all operations have their answer
	prompted               // a reply asks for the datagram again
	silent                 // the retransmission timeout passed without progress
	widened                // another replica is asked as well
)

// await waits for the end of the call, a reason to send again, or its deadline.
func (c *call) await(ctx context.Context, silences int, deadlineNanos int64) (waited, error) {
	cl := c.client
	for {
		now := cl.nowNanos()
		again := max(c.againNanos(silences), c.resendNanos)
		hedge := c.hedgeNanos()
		switch {
		case now >= deadlineNanos:
			return silent, c.timedOut(ctx)
		case now >= hedge:
			if c.widen(ctx, now) {
				return widened, nil
			}
			continue
		case now >= again:
			c.suspect()
			if c.holdsAnswers() || c.mayResend(now) {
				return silent, nil
			}
			c.client.counters.heldBack.Add(1)
			c.resendNanos = now + int64(resendPause)
			continue
		}
		c.timer.Reset(time.Duration(min(again, hedge, deadlineNanos) - now))
		select {
		case <-c.wake:
			if how, over := c.state(); over {
				return how, nil
			}
		case <-c.timer.C:
		case <-c.superseded():
			if err := c.follow(); err != nil {
				return silent, err
			}
		case <-ctx.Done():
			return silent, c.timedOut(ctx)
		case <-cl.closing:
			return silent, ErrClosed
		}
	}
}

// resendPause is the wait for leave to send again: see budget.
const resendPause = 10 * time.Millisecond

// state reads what a wake-up was about.
func (c *call) state() (how waited, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.left == 0:
		return answered, true
	case c.resend:
		return prompted, true
	}
	return silent, false
}

// progressNanos is when the call last sent or received something of use.
func (c *call) progressNanos() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(c.targets[0].sentNanos, c.targets[1].sentNanos, c.replyNanos)
}

// superseded is closed when the routes the call was aimed by are not the newest.
func (c *call) superseded() <-chan struct{} {
	if c.routes == nil {
		return nil
	}
	return c.routes.superseded
}

// follow takes the newest routes over. A call whose keys have moved ends; others go
// on as they are.
func (c *call) follow() error {
	routes := c.client.routes.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.routes = routes
	for i := range c.ops {
		op := &c.ops[i]
		if op.done || c.aimedRight(op) {
			continue
		}
		return errRerouted
	}
	return nil
}

// aimedRight says whether the call's first target still is whom to ask for an
// operation. The caller holds mu.
func (c *call) aimedRight(op *operation) bool {
	hash := c.hash
	if len(c.ops) > 1 {
		hash = keyHash(op.ask.Key)
	}
	if op.ask.Code.Writes() {
		return c.routes.leads(c.node(), hash)
	}
	return c.routes.holds(c.node(), hash)
}

// suspect tells the client that the call's target is silent: the ring may have
// moved on without it.
func (c *call) suspect() {
	if c.routes != nil {
		c.client.doubt(c.node())
	}
}

// timedOut says why the call ends without its answers.
func (c *call) timedOut(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	reason := ErrTimeout
	if c.unavailable || c.node().refusedSince(c.targets[0].sentNanos) {
		reason = ErrUnavailable
	}
	return newTimeout(ctx, reason, c.ops[0].ask.Code.Writes())
}
