package client

import (
	"context"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"gannet/wire"
)

const (
	// greetWait bounds the HELLO to a replica that nobody has talked to yet.
	greetWait = 100 * time.Millisecond

	// breakerProofs is how many calls an open breaker lets through after its pause, and
	// all must succeed for it to close.
	breakerProofs = 3

	// lateFactor is how much longer than its fellow replica's p95 a reply may take
	// before that one is asked, however slow its own node uses to be; slowFactor, how
	// much longer a multi-get may take before it counts as a failure.
	lateFactor = 4
	slowFactor = 16
	leastSlow  = 5 * time.Millisecond

	// idleLoad is a load below which nodes count as equally idle.
	idleLoad = 1.0 / 16
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

// budget bounds the second questions of reads: each call earns a share of one.
type budget struct{ milli atomic.Int64 }

const (
	milliEach = 1000
	// burstMilli is what may be saved up: a node that dies fails all calls to it at once.
	burstMilli = 64 * milliEach
)

func (b *budget) earn(share float64) {
	if b.milli.Add(int64(share*milliEach)) > burstMilli {
		b.milli.Store(burstMilli)
	}
}

func (b *budget) take() bool {
	if b.milli.Add(-milliEach) >= 0 {
		return true
	}
	b.milli.Add(milliEach)
	return false
}

// pickReader chooses the node that a read goes to: the leader, unless its breaker is
// open or it is so much busier than the key's other replicas that it is their turn.
//
// The right to fill a key is the leader's to give: reads that ask for it stay there
// as long as it answers.
func (c *Client) pickReader(r *routes, hash uint64, lease bool) *node {
	var room [maxReplicas]*node
	replicas := room[:r.replicas(hash, &room)]
	if len(replicas) == 0 {
		return nil
	}
	first := replicas[0]
	if len(replicas) == 1 {
		return first
	}
	if !lease && c.turnsAway(replicas) {
		first = replicas[1+rand.IntN(len(replicas)-1)]
	}
	if first.breaker.TryAcquirePermit() {
		return first
	}
	for _, other := range replicas {
		if other != first && other.breaker.TryAcquirePermit() {
			c.counters.avoided.Add(1)
			return other
		}
	}
	return replicas[0] // all are open: the leader is as good as any
}

// turnsAway says whether this read is one of those that a leader busier than the
// bound leaves to the others. The bound is of Mirrokni, Thorup and Zadimoghaddam,
// "Consistent Hashing with Bounded Loads" (SODA 2018): a factor times the mean. The
// figures are a little old when they come, so that a share of the reads moves, not
// all of them.
func (c *Client) turnsAway(replicas []*node) bool {
	sum := 0.0
	for _, n := range replicas {
		sum += max(n.reportedLoad(), idleLoad)
	}
	bound := c.settings.loadBound * sum / float64(len(replicas))
	if load := max(replicas[0].reportedLoad(), idleLoad); load > bound {
		return rand.Float64() > bound/load
	}
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
		return 0
	}
	return c.firstNanos + int64(c.lateAfter(t.node))
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
	c.mayHedge = false // one retry on another replica
	other := c.anotherReplica()
	if other == nil || !c.client.budget.take() {
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

// anotherReplica is one whose breaker lets the call pass, and that was not asked yet.
func (c *call) anotherReplica() *node {
	var room [maxReplicas]*node
	for _, n := range room[:c.routes.replicas(c.hash, &room)] {
		if n != c.node() && !n.breaker.IsOpen() {
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
