package client

import (
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

	done      bool
	answer    wire.ReplyOp // Value is nil; see value
	value     []byte       // the caller's memory while the call waits
	parts     *assembly    // for a long value; kept when the call is used again
	tailBytes int          // end of what the last datagram asked for, -1 = reached
	corrupt   int          // damaged parts since the last good one
	overloads int
	failure   error // set instead of answer
}

// call is one request datagram and the wait for its replies. The caller's
// goroutine owns it, except for what mu guards while it is in the table.
type call struct {
	node     *node
	timer    *time.Timer
	wake     chan struct{} // of capacity 1: something changed
	datagram []byte
	keys     []byte // memory of the operations' keys
	shard    int
	// generation is that of the node's shards, see nodeInfo.
	generation int
	hash       uint64
	conn       *conn // last sent over
	fixed      bool  // never over another one

	mu          sync.Mutex
	id          uint64 // 0 when not waiting
	ops         []operation
	order       []uint16 // operation by its index in the last datagram
	left        int      // operations without answer
	minVersion  Version
	sends       int
	prompts     int
	sentNanos   int64
	replyNanos  int64 // of the last reply that brought something
	resend      bool  // a reply asks for the datagram to be sent again at once
	sameConn    bool  // over the same socket: its cookie has just come
	unavailable bool  // the node said so
}

var calls = sync.Pool{New: func() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &call{wake: make(chan struct{}, 1), timer: t}
}}

func newCall(n *node) *call {
	c := calls.Get().(*call)
	c.node = n
	return c
}

// release gives the call back. Nothing refers to it any more: it has left the
// pending table, and a reader that found it there before sees that id is 0.
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
	c.node, c.conn, c.fixed = nil, nil, false
	c.ops, c.order, c.keys = c.ops[:0], c.order[:0], c.keys[:0]
	c.left, c.sends, c.prompts, c.minVersion = 0, 0, 0, 0
	c.resend, c.sameConn, c.unavailable = false, false, false
	calls.Put(c)
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
	if c.id == 0 || c.id != reply.RequestID || c.left == 0 {
		from.client.counters.late.Add(1)
		return
	}
	if c.sends == 1 && c.replyNanos == 0 {
		c.node.rtt.observe(time.Duration(nowNanos - c.sentNanos))
	}
	ops := reply.Ops()
	var answer wire.ReplyOp
	for ops.Next(&answer) {
		c.take(&answer, from, nowNanos)
	}
	if c.left == 0 || c.resend {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// take files one answer.
func (c *call) take(answer *wire.ReplyOp, from *conn, nowNanos int64) {
	switch answer.Status {
	case wire.StatusCookieRequired:
		from.renew(answer.Token)
		c.replyNanos = nowNanos
		c.prompt()
		c.sameConn = true
		return
	case wire.StatusUnavailable:
		c.unavailable = true // ask again after the timeout
		return
	}
	if answer.Code == 0 {
		c.takeForAll(answer)
		return
	}
	if int(answer.Index) >= len(c.order) {
		return
	}
	op := &c.ops[c.order[answer.Index]]
	if op.done || answer.Code != op.ask.Code {
		return
	}
	c.replyNanos = nowNanos
	c.unavailable = false
	c.takeFor(op, answer)
}

// takeForAll files an answer that is about the datagram, not one operation.
func (c *call) takeForAll(answer *wire.ReplyOp) {
	for i := range c.ops {
		if op := &c.ops[i]; !op.done {
			c.finish(op, answer)
		}
	}
}

// takeFor files the answer to one operation.
func (c *call) takeFor(op *operation, answer *wire.ReplyOp) {
	switch {
	case answer.Status == wire.StatusOverloaded && op.ask.Code == wire.Get && op.overloads < overloadTries:
		op.overloads++ // no room for this reply just now: ask after the timeout
	case answer.Status == wire.StatusChanged:
		if op.parts != nil {
			op.parts.reset()
		}
		c.prompt()
	case answer.Status != wire.StatusOK, op.ask.Flags&wire.OpNoValue != 0, op.ask.Code.Writes():
		c.finish(op, answer)
	case !answer.Intact():
		c.damaged(op)
	case answer.Flags&wire.ReplySegment == 0 && uint32(len(answer.Value)) == answer.TotalBytes:
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
	c.node.client.counters.corrupt.Add(1)
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

func (c *call) finish(op *operation, answer *wire.ReplyOp) {
	op.answer = *answer
	op.answer.Value = nil
	op.done = true
	c.left--
}
