package client

import (
	"slices"
	"sync"
	"time"

	"gannet/wire"
)

// corruptTries is how many damaged copies of one value, with no good part in
// between, make a call give up with ErrCorrupt.
const corruptTries = 8

// overloadTries is how often a GET whose value the node had no room to send is
// asked again, each time after a longer wait. A node that sheds the whole
// datagram is taken at its word at once.
const overloadTries = 3

// promptTries bounds the datagrams that are sent again at once, because a reply
// asked for it, instead of after a timeout. It stops a node that answers every
// datagram with a demand from keeping a call spinning.
const promptTries = 64

// receiver is what waits in the pending table.
type receiver interface {
	// receive takes in one reply datagram. The reply and its operations are
	// borrowed from the reader until it returns.
	receive(reply *wire.Reply, from *conn, nowNanos int64)
}

// operation is one operation of a call: what is asked and what was answered.
type operation struct {
	ask wire.Op

	done       bool
	answer     wire.ReplyOp // Value is nil; see value
	value      []byte       // the caller's memory while the call waits
	parts      *assembly    // for a long value; kept when the call is used again
	tailBytes  int          // end of what the last datagram asked for, -1 = reached
	corrupt    int          // damaged parts since the last good one
	held       wire.ReplyOp // of one target while another may know better; see yield
	heldFrom   *node        // nil: none is held
	overloads  int
	padBytes   int   // of the first sending; see padded
	pastKernel bool  // padBytes are there to have the shard answer
	failure    error // set instead of answer
}

// target is a node that a call has been sent to.
type target struct {
	node *node
	// shard, and the generation of the node's shards that it belongs to; see nodeInfo.
	shard      int
	generation int
	conn       *conn // last sent over
	fixed      bool  // never over another one
	sends      int
	sentNanos  int64
	behind     bool // it has less than was asked for
	sameConn   bool // the next send goes over the same socket: its cookie has just come
}

// call is one request datagram and the wait for its replies. The caller's
// goroutine owns it, except for what mu guards while it is in a table. A call goes
// to one node; a hedged one to a second as well, under the same request id, and
// whichever answers an operation first counts.
type call struct {
	client   *Client
	routes   *routes // by which it was aimed; nil: at a node of the caller's choice
	timer    *time.Timer
	wake     chan struct{} // of capacity 1: something changed
	datagram []byte
	keys     []byte // memory of the operations' keys
	hash     uint64

	mu          sync.Mutex
	id          uint64 // 0 when not waiting
	targets     [2]target
	aims        int // targets in use
	ops         []operation
	order       []uint16 // operation by its index in the last datagram
	earlier     []question
	left        int // operations without answer
	minVersion  Version
	prompts     int
	replyNanos  int64 // of the last reply that brought something
	resend      bool  // a reply asks for the datagram to be sent again at once
	unavailable bool  // a node said so
	winner      *node // who gave the last answer
	firstNanos  int64 // when it was sent first

	mayHedge    bool  // the caller's own: another replica may be asked as well
	atLeader    bool  // the caller's own: a follower lacked the key
	resendNanos int64 // the caller's own: nothing may be sent again before
	widenNanos  int64 // the caller's own: no other replica may be asked before

	// Of a multi-get's; see incast.go.
	multi    bool
	slot     slot
	reslots  int    // slots reserved since the first
	expected uint32 // bytes on the wire of the whole multi-get
	fanOut   uint16 // its nodes
}

var calls = sync.Pool{New: func() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &call{wake: make(chan struct{}, 1), timer: t}
}}

func newCall(client *Client) *call {
	c := calls.Get().(*call)
	c.client = client
	return c
}

// release gives the call back. Nothing refers to it any more: it has left the
// pending tables, and a reader that found it there before sees that id is 0.
func (c *call) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.ops {
		op := &c.ops[i]
		if op.parts != nil {
			op.parts.reset()
		}
		*op = operation{parts: op.parts}
	}
	select {
	case <-c.wake:
	default:
	}
	c.client, c.routes, c.winner = nil, nil, nil
	c.targets, c.aims = [2]target{}, 0
	c.ops, c.order, c.keys, c.earlier = c.ops[:0], c.order[:0], c.keys[:0], c.earlier[:0]
	c.left, c.prompts, c.minVersion, c.firstNanos = 0, 0, 0, 0
	c.resendNanos, c.widenNanos = 0, 0
	c.resend, c.unavailable, c.mayHedge, c.atLeader = false, false, false, false
	c.multi, c.slot, c.reslots, c.expected, c.fanOut = false, slot{}, 0, 0, 0
	calls.Put(c)
}

// aimAt makes a node the call's only target.
func (c *call) aimAt(n *node, info *nodeInfo, shard int) {
	c.targets[0] = target{node: n, shard: shard, generation: info.generation}
	c.aims = 1
}

// aimKey aims the call at the shard of a node that has a key hash.
func (c *call) aimKey(n *node, info *nodeInfo, hash uint64) {
	c.hash = hash
	c.aimAt(n, info, wire.ShardOf(hash, int(info.Shards)))
}

// node is whom the call went to first.
func (c *call) node() *node { return c.targets[0].node }

// sends is how often the call was sent, to all its targets together.
func (c *call) sends() int { return c.targets[0].sends + c.targets[1].sends }

// targetOf is the target that a socket belongs to; nil when it is none of the call's.
func (c *call) targetOf(k *conn) *target {
	for i := range c.targets[:c.aims] {
		if c.targets[i].node == k.node {
			return &c.targets[i]
		}
	}
	return nil
}

// add appends an operation on key and returns it for the rest to be filled in.
// The pointer is good until the next add.
func (c *call) add(code wire.Opcode, key string) *operation {
	start := len(c.keys)
	c.keys = append(c.keys, key...)
	if len(c.ops) < cap(c.ops) {
		c.ops = c.ops[:len(c.ops)+1]
	} else {
		c.ops = append(c.ops, operation{})
	}
	op := &c.ops[len(c.ops)-1]
	op.ask.Code = code
	op.ask.Key = c.keys[start:len(c.keys):len(c.keys)]
	c.left++
	return op
}

// receive takes in a reply. It runs on a reader's goroutine.
func (c *call) receive(reply *wire.Reply, from *conn, nowNanos int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.id == 0 || c.left == 0 { // id first: without one the rest is not the lock's
		from.client.counters.late.Add(1)
		return
	}
	t, earlier := c.targetOf(from), c.earlierOf(reply.RequestID)
	if t == nil || (earlier == nil && c.id != reply.RequestID) {
		from.client.counters.late.Add(1)
		return
	}
	switch {
	case earlier != nil:
		earlier.tooSoon(t.node, nowNanos)
	case t.sends == 1 && c.replyNanos == 0:
		t.node.measured(time.Duration(nowNanos - t.sentNanos - c.slot.offsetNanos))
		t.node.credit.earn()
	}
	left, old := c.left, c.old(reply)
	ops := reply.Ops()
	var answer wire.ReplyOp
	for ops.Next(&answer) {
		switch {
		case old && answer.Status != wire.StatusCookieRequired:
			from.client.counters.outdated.Add(1)
		case earlier != nil:
			c.takeEarlier(earlier, &answer, t, nowNanos)
		default:
			c.take(&answer, t, nowNanos)
		}
	}
	if c.left < left {
		c.winner = t.node
	}
	if c.left == 0 || c.resend {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// old says whether a reply was made under an older ring than the call was sent by.
// Its sender may have lost its part since; what it says no longer counts.
func (c *call) old(reply *wire.Reply) bool {
	return c.routes != nil && reply.Epoch < c.routes.epoch()
}

// take files one answer.
func (c *call) take(answer *wire.ReplyOp, from *target, nowNanos int64) {
	switch answer.Status {
	case wire.StatusCookieRequired:
		from.conn.renew(answer.Token)
		c.replyNanos = nowNanos
		c.prompt()
		from.sameConn = true
		return
	case wire.StatusUnavailable:
		c.unavailable = true // ask again after the timeout
		return
	}
	if answer.Code == 0 {
		c.takeForAll(answer, from)
		return
	}
	op := c.asked(c.order, answer)
	if op == nil {
		return
	}
	c.noteGap(nowNanos)
	c.replyNanos = nowNanos
	c.unavailable = false
	c.takeFor(op, answer, from)
}

// asked is the operation that an answer is to, by its index in a datagram; nil when it
// has its answer, or was none of it.
func (c *call) asked(order []uint16, answer *wire.ReplyOp) *operation {
	if int(answer.Index) >= len(order) {
		return nil
	}
	op := &c.ops[order[answer.Index]]
	if op.done || answer.Code != op.ask.Code {
		return nil
	}
	return op
}

// takeEarlier files an answer to an earlier datagram. Only what ends an operation, or
// is a part of its value, counts: what a node had to say about that datagram as a whole,
// or about what is still to come of it, is the newest one's to hear.
func (c *call) takeEarlier(q *question, answer *wire.ReplyOp, from *target, nowNanos int64) {
	op := c.asked(q.order, answer)
	if op == nil || answer.Status != wire.StatusOK || !answer.Intact() {
		return
	}
	c.replyNanos = nowNanos
	tail := op.tailBytes
	op.tailBytes = -2 // no part of this reply is the last to come
	c.takeFor(op, answer, from)
	op.tailBytes = tail
}

// takeForAll files an answer that is about the datagram, not one operation.
func (c *call) takeForAll(answer *wire.ReplyOp, from *target) {
	for i := range c.ops {
		op := &c.ops[i]
		switch {
		case op.done:
		case c.aims > 1:
			c.yield(op, answer, from)
		default:
			c.finish(op, answer)
		}
	}
}

// takeFor files the answer to one operation.
func (c *call) takeFor(op *operation, answer *wire.ReplyOp, from *target) {
	if answer.Status == wire.StatusBehind {
		c.takeBehind(op, answer, from)
	}
	switch {
	case answer.Status == wire.StatusOverloaded && op.ask.Code == wire.Get && op.overloads < overloadTries:
		op.overloads++ // no room for this reply just now: ask after the timeout
	case answer.Status == wire.StatusChanged:
		if op.parts != nil {
			op.parts.reset()
		}
		c.prompt()
	case c.aims > 1 && yields(answer.Status):
		c.yield(op, answer, from)
	case answer.Status != wire.StatusOK, op.ask.Flags&wire.OpNoValue != 0, op.ask.Code.Writes():
		c.finish(op, answer)
	case !answer.Intact():
		c.damaged(op)
	case op.ask.Code == wire.Ring, answer.Flags&wire.ReplySegment == 0 && uint32(len(answer.Value)) == answer.TotalBytes:
		op.value = append(op.value[:0], answer.Value...)
		c.finish(op, answer)
	default:
		c.assemble(op, answer)
	}
}

// assemble adds a part of a long value.
func (c *call) assemble(op *operation, answer *wire.ReplyOp) {
	if op.parts == nil {
		op.parts = new(assembly)
	}
	p := part{
		version: uint64(answer.Version), totalBytes: int(answer.TotalBytes),
		offsetBytes: int(answer.OffsetBytes), data: answer.Value,
	}
	var fresh bool
	if op.value, fresh = op.parts.accept(&p, op.value); fresh {
		op.corrupt = 0
	}
	end := p.offsetBytes + len(p.data)
	switch {
	case op.parts.complete():
		c.finish(op, answer)
	case end == op.tailBytes || (op.tailBytes == 0 && answer.Flags&wire.ReplyMore == 0):
		op.tailBytes = -1 // the last part to come is here, others are lost
		if c.allTailsSeen() {
			c.prompt()
		}
	}
}

// allTailsSeen says whether nothing more is on its way: the last part of all that
// is missing has come. The answers to one datagram may overtake each other, so a
// single tail proves nothing about the other operations.
func (c *call) allTailsSeen() bool {
	for i := range c.ops {
		if op := &c.ops[i]; !op.done && op.tailBytes != -1 {
			return false
		}
	}
	return true
}

// damaged treats a part that fails its checksum as lost, up to a limit.
func (c *call) damaged(op *operation) {
	c.client.counters.corrupt.Add(1)
	op.corrupt++
	if op.corrupt >= corruptTries {
		op.failure = ErrCorrupt
		op.done = true
		c.left--
		return
	}
	if op.parts == nil || !op.parts.begun {
		c.prompt()
	}
}

// prompt asks the caller's goroutine to send again at once.
func (c *call) prompt() {
	if c.prompts < promptTries {
		c.prompts++
		c.resend = true
	}
}

// yields says whether an answer of one target waits for the other's: a follower may
// miss what its leader has, and knows less about everything but a hit.
func yields(s wire.Status) bool { return s != wire.StatusOK }

// yield keeps such an answer until the other target has spoken, too, or is silent.
func (c *call) yield(op *operation, answer *wire.ReplyOp, from *target) {
	if op.heldFrom != nil && op.heldFrom != from.node {
		held := op.held
		switch {
		case held.Status == wire.StatusBehind, from == &c.targets[0] && answer.Status != wire.StatusBehind:
			c.finish(op, answer) // it knows better
		default:
			c.finish(op, &held)
		}
		return
	}
	op.held, op.heldFrom = *answer, from.node
	op.held.Value = nil
}

// holdsAnswers says whether there is something for settleHeld.
func (c *call) holdsAnswers() bool {
	if c.aims < 2 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.ops, func(op operation) bool { return op.settles() })
}

// settles says whether a held answer counts when the other target is silent. That a
// follower is behind says nothing about the key.
func (op *operation) settles() bool {
	return !op.done && op.heldFrom != nil && op.held.Status != wire.StatusBehind
}

// settleHeld makes held answers count: the other target is silent. It says whether
// all operations have their answer now.
func (c *call) settleHeld() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.ops {
		if op := &c.ops[i]; op.settles() {
			held := op.held
			c.finish(op, &held)
		}
	}
	return c.left == 0
}

func (c *call) finish(op *operation, answer *wire.ReplyOp) {
	op.answer = *answer
	op.answer.Value = nil
	op.done = true
	c.left--
}
