package client

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"gannet/wire"
)

const (
	// greetWait bounds the HELLO to a replica that nobody has talked to yet.
	greetWait = 100 * time.Millisecond

	// breakerProofs is how many probes a node whose breaker is open must answer in good
	// time, after its pause, for it to close.
	breakerProofs = 3

	// aliveWithin is how lately a node must have answered something not to be silent.
	aliveWithin = 10 * time.Millisecond

	// lateFactor is how much longer than its fellow replica's p95 a reply may take
	// before that one is asked, however slow its own node uses to be; slowFactor, how
	// much longer a multi-get may take before it counts as a failure.
	lateFactor = 4
	slowFactor = 16
	leastSlow  = 5 * time.Millisecond
)

// breakerSettings say when a breaker opens: when so many of the last calls were lost to
// another node or to silence; and for how long, at least.
type breakerSettings struct {
	failures, calls uint
	pause           time.Duration
}

func newBreaker(s *breakerSettings) circuitbreaker.CircuitBreaker[any] {
	return circuitbreaker.NewBuilder[any]().
		WithFailureThresholdRatio(s.failures, s.calls).
		WithSuccessThreshold(breakerProofs).
		WithRandomDelay(s.pause, 2*s.pause).
		Build()
}

// pickReader chooses the node that a read goes to: the leader, unless its breaker is
// not closed or it is so much busier than the key's other replicas that it is their
// turn. Followers that lack the key's range are left out. A node whose breaker is not closed is probed meanwhile.
//
// The right to fill a key is the leader's to give: reads that ask for it stay there
// as long as it answers.
func (c *Client) pickReader(r *routes, hash uint64, lease bool) *node {
	var room [maxReplicas]*node
	replicas := c.wholeReplicas(r, hash, &room)
	if len(replicas) == 0 {
		return nil
	}
	first := replicas[0]
	if len(replicas) == 1 {
		return first
	}
	if !lease {
		if other := c.turnedTo(replicas, hash); other != nil {
			first = other
		}
	}
	if c.isUsable(first) {
		return first
	}
	for _, other := range replicas {
		if other != first && c.isUsable(other) {
			c.counters.avoided.Add(1)
			return other
		}
	}
	return replicas[0] // all are open: the leader is as good as any
}

// isUsable says whether a node's breaker is closed; if it is not, the node is probed.
func (c *Client) isUsable(n *node) bool {
	if n.breaker.IsClosed() {
		return true
	}
	c.probe(n)
	return false
}

// hedgeNanos is when another replica shall be asked as well; never, for a call that
// does not allow it.
func (c *call) hedgeNanos() int64 {
	if !c.mayHedge || c.aims > 1 {
		return math.MaxInt64
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.targets[0]
	if t.sends == 0 || c.replyNanos > t.sentNanos {
		return math.MaxInt64 // it answers
	}
	if t.node.refusedSince(c.firstNanos) {
		return c.widenNanos
	}
	return max(c.firstNanos+int64(c.lateAfter(t.node)), c.widenNanos)
}

// lateAfter is when a reply of a node is late: after the node's own p95, or, since a
// node that is always slow has a long one, a few times that of the key's other
// replicas.
func (c *call) lateAfter(n *node) time.Duration {
	late := n.latency.value()
	if late <= lateFactor*leastHedge {
		return late
	}
	var room [maxReplicas]*node
	for _, other := range room[:c.routes.replicas(c.hash, &room)] {
		if other != n && other.latency.known() {
			late = min(late, lateFactor*other.latency.value())
		}
	}
	return late
}

// isSlow says whether a multi-get's answer took far longer than others' use to. Nobody
// overtakes it, as a hedged Get would be.
func (c *Client) isSlow(call *call) bool {
	if call.routes == nil || call.sends() != 1 {
		return false
	}
	took := time.Duration(call.replyNanos - call.firstNanos - call.slot.offsetNanos)
	allowed := time.Duration(len(call.ops)) * operationAllowance
	for _, other := range call.routes.nodes {
		if other != call.node() && other.latency.known() && took > max(leastSlow, slowFactor*other.latency.value())+allowed {
			return true
		}
	}
	return false
}

// widen adds another replica to the call's targets, if the budget allows it.
func (c *call) widen(ctx context.Context, nowNanos int64) bool {
	other := c.anotherReplica()
	if other != nil && !c.mayWiden(nowNanos) {
		c.widenNanos = nowNanos + int64(resendPause)
		return false
	}
	c.mayHedge = false // one retry on another replica
	if other == nil {
		return false
	}
	info, err := other.ready(ctx, nowNanos+int64(greetWait))
	if err != nil {
		return false
	}
	c.mu.Lock()
	c.targets[1] = target{node: other, shard: wire.ShardOf(c.hash, int(info.Shards)), generation: info.generation}
	c.aims = 2
	other.pending.add(c.id, c)
	c.mu.Unlock()
	c.client.counters.hedged.Add(1)
	return true
}

// mayWiden pays for a second question. When many wait for a node that has fallen silent,
// and what was saved up is spent, one in a while is asked all the same: nobody else would
// find out, and all would wait for ever.
func (c *call) mayWiden(nowNanos int64) bool {
	b, heard := &c.client.budget, c.node().heardNanos.Load()
	spare := int64(0)
	if heard > nowNanos-int64(aliveWithin) {
		spare = forSilentMilli // it answers others
	}
	if b.take(spare) {
		return true
	}
	if c.client.settings.retryShare == 0 || nowNanos-max(heard, c.firstNanos) <= int64(silentAfter) || !trickle(&b.widenNanos, nowNanos) {
		return false
	}
	b.owe()
	return true
}

// anotherReplica is one whose breaker is closed, and that was not asked yet.
func (c *call) anotherReplica() *node {
	var room [maxReplicas]*node
	for _, n := range c.client.wholeReplicas(c.routes, c.hash, &room) {
		if n != c.node() && n.breaker.IsClosed() {
			return n
		}
	}
	return nil
}

// judge tells the first target's breaker how the call went: whoever is silent, or
// slower than a second question to another node, is not worth asking first.
func (c *call) judge(err error) {
	first := c.node()
	switch {
	case c.routes == nil:
	case c.winner == first && err == nil:
		first.breaker.RecordSuccess()
	case c.winner == nil && err != nil, c.winner != nil && c.winner != first:
		first.breaker.RecordFailure()
	default:
		first.breaker.RecordSuccess()
	}
}

// quantile follows the 95th percentile of a stream with two words of memory, after
// Ma, Muthukrishnan and Sandler, "Frugal Streaming for Estimating Quantiles" (2013),
// with steps that are a share of the estimate.
type quantile struct{ nanos atomic.Int64 }

const (
	quantileShare = 0.95
	quantileStep  = 1.0 / 32
	leastHedge    = 200 * time.Microsecond
)

func (q *quantile) observe(sample time.Duration) {
	now := q.nanos.Load()
	if now == 0 {
		q.nanos.Store(4 * int64(sample)) // the first is slow; and one too many costs less than many
		return
	}
	step := max(float64(now)*quantileStep, 1000)
	if int64(sample) > now {
		q.nanos.Store(now + int64(step*quantileShare))
		return
	}
	q.nanos.Store(now - int64(step*(1-quantileShare)))
}

// known says whether there was a sample.
func (q *quantile) known() bool { return q.nanos.Load() != 0 }

// value is when a reply is late; before the first sample, the first timeout.
func (q *quantile) value() time.Duration {
	if now := q.nanos.Load(); now != 0 {
		return max(time.Duration(now), leastHedge)
	}
	return initialRTO
}
