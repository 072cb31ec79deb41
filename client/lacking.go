package client

import (
	"sync/atomic"

	"gannet/wire"
)

// A follower that is still being given a range does not answer reads there: it says
// BEHIND, with version 0, and the leader is asked. It lacks what it takes from one
// leader as a whole, mostly, and for as long as the repair takes; so reads of that
// leader's keys leave it out for a while, and for longer each time that it still lacks
// them after that.
const (
	leastLackingNanos = int64(20e6)
	mostLackingNanos  = int64(1280e6)
)

// lackings are how long a node is left out, by the leaders of keys. Those that share a
// place are left out together.
type lackings [16]lacking

func (l *lackings) of(leader *node) *lacking { return &l[leader.place%uint32(len(l))] }

// lacking is one such pause.
type lacking struct {
	untilNanos atomic.Int64 // 0: there was none yet
	pauseNanos atomic.Int64 // the last
}

// begin leaves the node out, if it is not left out already.
func (l *lacking) begin(nowNanos int64) {
	until, pause := l.untilNanos.Load(), l.pauseNanos.Load()
	if nowNanos < until {
		return // asked before that began
	}
	next := leastLackingNanos
	if nowNanos-until < pause {
		next = min(2*pause, mostLackingNanos) // hardly over, and still it lacks the range
	}
	if l.untilNanos.CompareAndSwap(until, nowNanos+next) {
		l.pauseNanos.Store(next)
	}
}

func (l *lacking) now(nowNanos int64) bool { return nowNanos < l.untilNanos.Load() }

// whole takes the followers that are left out for want of the keys from a list of
// replicas, the leader first, and returns how many remain.
func (c *Client) whole(replicas []*node) int {
	kept := min(len(replicas), 1)
	for _, n := range replicas[kept:] {
		if l := n.lacks.of(replicas[0]); l.untilNanos.Load() == 0 || !l.now(c.nowNanos()) {
			replicas[kept] = n
			kept++
		}
	}
	return kept
}

// wholeReplicas are a key's replicas without such followers.
func (c *Client) wholeReplicas(r *routes, hash uint64, room *[maxReplicas]*node) []*node {
	return room[:c.whole(room[:r.replicas(hash, room)])]
}

// isLacking says whether an answer means that the node does not have the key's range.
func isLacking(answer *wire.ReplyOp) bool {
	return answer.Status == wire.StatusBehind && answer.Version == 0
}

// noteLacking leaves a follower out for a while.
func (c *Client) noteLacking(r *routes, n *node, hash uint64) {
	if leader := r.leader(hash); leader != nil && leader != n {
		n.lacks.of(leader).begin(c.nowNanos())
	}
}

// turnsBack says whether the answer is that of a follower who has less than was asked
// for, so that the leader has to be asked.
func (c *call) turnsBack(op *operation) bool {
	return c.routes != nil && c.routes.ring != nil && op.failure == nil && op.answer.Status == wire.StatusBehind &&
		op.ask.Code == wire.Get && !c.wentTo(c.routes.leader(keyHash(op.ask.Key)))
}

// outdated says whether the node that the call takes for the leader answers as a
// follower that lacks the key: there is a newer ring.
func (c *call) outdated(op *operation) bool {
	return c.routes != nil && c.routes.ring != nil && c.minVersion == 0 && isLacking(&op.answer)
}

// takeBehind notes that a target has less than was asked for, so that it is not asked
// again, and that a follower lacks the key's range. The caller holds mu.
func (c *call) takeBehind(op *operation, answer *wire.ReplyOp, from *target) {
	from.behind = len(c.ops) == 1
	if c.routes != nil && isLacking(answer) {
		c.client.noteLacking(c.routes, from.node, keyHash(op.ask.Key))
	}
}

// isBehind says whether a target has said so, and another can be asked.
func (c *call) isBehind(i int) bool {
	if c.aims < 2 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.targets[i].behind && !c.targets[1-i].behind
}

// wentTo says whether a node was one of the call's targets.
func (c *call) wentTo(n *node) bool {
	for i := range c.targets[:c.aims] {
		if c.targets[i].node == n {
			return true
		}
	}
	return false
}
