package client

import (
	"context"
	"time"

	"gannet/wire"
)

const (
	// probeFactor is how much longer than the quickest other node's p95 a probe of a node
	// may take for it to count as well again, and leastProbe what is never too long.
	probeFactor = 4
	leastProbe  = 2 * time.Millisecond
)

// probe finds out whether a node whose breaker has opened is well again: by PINGs of
// the client's own, once the breaker's pause is over, so that no read pays for it. It
// returns at once.
func (c *Client) probe(n *node) {
	if n.probing.Load() || n.breaker.RemainingDelay() > 0 || !n.probing.CompareAndSwap(false, true) {
		return
	}
	if !c.trackWorker() {
		return
	}
	go func() {
		defer c.readers.Done()
		defer n.probing.Store(false)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for n.breaker.TryAcquirePermit() {
			if !c.isWell(ctx, n) {
				n.breaker.RecordFailure()
				return
			}
			n.breaker.RecordSuccess()
			if n.breaker.IsClosed() {
				return
			}
		}
	}()
}

// isWell says whether a node answers, and in good time.
func (c *Client) isWell(ctx context.Context, n *node) bool {
	info, err := n.ready(ctx, c.nowNanos()+int64(greetWait))
	if err != nil {
		return false
	}
	call := newCall(c)
	defer call.release()
	call.add(wire.Ping, "")
	call.aimAt(n, info, int(c.ids.Load()%uint64(info.Shards)))
	c.budget.owe()
	begun := c.nowNanos()
	if err := call.exchange(ctx, begun+int64(c.probeLongest(n))); err != nil {
		return false
	}
	return call.ops[0].err() == nil
}

// probeLongest is how long a probe of a node may take.
func (c *Client) probeLongest(n *node) time.Duration {
	quickest := time.Duration(0)
	if r := c.routes.Load(); r != nil {
		for _, other := range r.nodes {
			if other != n && other.latency.known() && (quickest == 0 || other.latency.value() < quickest) {
				quickest = other.latency.value()
			}
		}
	}
	return max(leastProbe, probeFactor*quickest)
}
