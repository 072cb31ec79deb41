package client

import (
	"context"
	"time"
)

// exchange sends the call and waits until every operation has its answer. It
// returns an error when that does not happen before the deadline. The call has
// left the pending table when it returns.
func (c *call) exchange(ctx context.Context, deadlineNanos int64) error {
	n := c.node
	c.enter()
	defer c.leave()
	for silences := 0; ; {
		over, err := c.transmit(deadlineNanos)
		if over || err != nil {
			return err
		}
		again, err := c.await(ctx, silences, deadlineNanos)
		switch {
		case err != nil:
			return err
		case again == answered:
			return nil
		case again == silent:
			silences++
			n.client.counters.resent.Add(1)
		}
	}
}

// enter puts the call into the pending table.
func (c *call) enter() {
	id := c.node.client.nextIDs(1)
	c.mu.Lock()
	c.id, c.replyNanos = id, 0
	c.mu.Unlock()
	c.node.pending.add(id, c)
}

// leave takes the call out of the table: from here on no reply touches it.
func (c *call) leave() {
	c.timer.Stop()
	c.mu.Lock()
	c.node.pending.remove(c.id)
	c.id = 0
	c.mu.Unlock()
}

// transmit builds the datagram and sends it. A socket that refuses to send is
// evidence like silence is: the wait that follows handles both. over is true when
// the last answer has come meanwhile.
func (c *call) transmit(deadlineNanos int64) (over bool, err error) {
	c.mu.Lock()
	keep := c.fixed || (c.sameConn && c.conn != nil)
	c.mu.Unlock()
	if !keep {
		if c.conn, err = c.node.socket(c.shard, c.generation); err != nil {
			return false, err
		}
	}
	now := c.node.client.nowNanos()
	c.mu.Lock()
	if over = c.left == 0; !over {
		c.build(c.conn.cookie.Load(), now, deadlineNanos)
	}
	c.mu.Unlock()
	if !over {
		c.conn.send(c.datagram)
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
)

// await waits for the end of the call, a reason to send again, or its deadline.
func (c *call) await(ctx context.Context, silences int, deadlineNanos int64) (waited, error) {
	cl := c.node.client
	rto := int64(c.node.rtt.timeout(silences) + time.Duration(len(c.ops)-1)*operationAllowance)
	for {
		now := cl.nowNanos()
		again := c.progressNanos() + rto
		if now >= deadlineNanos {
			return silent, c.timedOut(ctx)
		}
		if now >= again {
			return silent, nil
		}
		c.timer.Reset(time.Duration(min(again, deadlineNanos) - now))
		select {
		case <-c.wake:
			if how, over := c.state(); over {
				return how, nil
			}
		case <-c.timer.C:
		case <-ctx.Done():
			return silent, c.timedOut(ctx)
		case <-cl.closing:
			return silent, ErrClosed
		}
	}
}

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
	return max(c.sentNanos, c.replyNanos)
}

// timedOut says why the call ends without its answers.
func (c *call) timedOut(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	reason := ErrTimeout
	if c.unavailable || c.node.refusedSince(c.sentNanos) {
		reason = ErrUnavailable
	}
	return newTimeout(ctx, reason, c.ops[0].ask.Code.Writes())
}
