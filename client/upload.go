package client

import (
	"context"
	"sync"
	"time"

	"gannet/wire"
)

// The window of an upload: how many parts may be on their way. It halves when
// parts are lost and grows by one with each that is taken.
const (
	uploadWindowFirst = 16
	uploadWindowLeast = 2
	uploadWindowMost  = 64
	// reorderedParts is by how many answers to later parts one may be overtaken before
	// its part counts as lost.
	reorderedParts = 4
)

// upload sends a value that does not fit a datagram, in parts. Each part has its
// own request id, so that its answer says which part was taken; the transfer id
// tells the node that they belong together. The node answers PARTIAL until it
// has all, and then with the outcome.
type upload struct {
	node   *node
	routes *routes // by which it was aimed
	ask    wire.Op // of the whole
	hash   uint64
	// partBytes is a multiple of the unit: every part but the last has it. It is what
	// fits into a datagram to the node when the upload begins.
	partBytes int
	shard     int
	// generation is that of the node's shards, see nodeInfo.
	generation int
	wake       chan struct{}
	datagram   []byte
	conn       *conn // last sent over
	repeated   bool  // the whole was sent again: an earlier one may have counted

	mu          sync.Mutex
	first       uint64 // request id of part 0; part i has first+i
	parts       []uploadPart
	low         int // all parts below are taken
	taken       int
	window      int
	order       int  // of the part sent last: grows with each sending
	newest      int  // the latest sending that was answered
	recover     int  // losses of sendings before this one have been paid for
	asked       bool // for the outcome, by a part sent again
	over        bool
	answer      wire.ReplyOp
	failure     error // set instead of answer
	replyNanos  int64 // of the last part that was taken
	unavailable bool
}

// uploadPart is the state of one part.
type uploadPart struct {
	sentNanos int64 // 0 = to be sent
	order     int   // of the last sending
	sends     int
	taken     bool
}

// upload stores a long value and files the outcome in the call's operation.
func (c *call) upload(ctx context.Context, deadlineNanos int64) error {
	t, op := &c.targets[0], &c.ops[0]
	ask := op.ask
	ask.Flags |= wire.OpSegment
	ask.TotalBytes = uint32(len(ask.Value))
	u := &upload{
		node: t.node, routes: c.routes, ask: ask, hash: c.hash, shard: t.shard, generation: t.generation,
		wake: make(chan struct{}, 1),
	}
	answer, err := u.run(ctx, c.timer, deadlineNanos)
	if err != nil {
		return err
	}
	op.answer, op.failure, op.done = answer, u.failure, true
	return nil
}

// run sends the parts until the node has the whole.
func (u *upload) run(ctx context.Context, timer *time.Timer, deadlineNanos int64) (answer wire.ReplyOp, err error) {
	u.begin()
	defer u.leave()
	defer timer.Stop()
	for silences := 0; ; {
		now := u.node.client.nowNanos()
		if now >= deadlineNanos {
			return answer, u.timedOut(ctx)
		}
		rto := int64(u.node.rtt.timeout(silences))
		lost, next, err := u.pump(now, rto, deadlineNanos)
		if err != nil {
			return answer, err
		}
		if lost {
			silences++
			u.node.path.silent()
			u.node.client.doubt(u.node)
		} else {
			silences = 0
		}
		timer.Reset(time.Duration(min(next, deadlineNanos) - now))
		select {
		case <-u.wake:
		case <-timer.C:
		case <-u.routes.superseded:
			if u.routes = u.node.client.routes.Load(); !u.routes.leads(u.node, u.hash) {
				return answer, errRerouted
			}
		case <-ctx.Done():
			return answer, u.timedOut(ctx)
		case <-u.node.client.closing:
			return answer, ErrClosed
		}
		if over, answer := u.outcome(); over {
			return answer, nil
		}
	}
}

// begin cuts the value into parts and enters them into the pending table.
func (u *upload) begin() {
	u.partBytes = u.roomBytes()
	n := (len(u.ask.Value) + u.partBytes - 1) / u.partBytes
	u.mu.Lock()
	u.first = u.node.client.nextIDs(n)
	u.ask.Transfer = u.first | 1
	u.parts = make([]uploadPart, n)
	u.taken, u.low, u.window = 0, 0, uploadWindowFirst
	u.order, u.newest, u.recover, u.asked = 0, 0, 0, false
	u.mu.Unlock()
	for i := range n {
		u.node.pending.add(u.first+uint64(i), u)
	}
}

// roomBytes is the longest part that fits into a datagram to the node.
func (u *upload) roomBytes() int {
	overhead := u.ask
	overhead.Value = nil
	return (u.node.payloadBytes() - wire.RequestHeaderBytes - overhead.Bytes()) / unitBytes * unitBytes
}

// leave takes all parts out of the table.
func (u *upload) leave() {
	for i := range u.parts {
		u.node.pending.remove(u.first + uint64(i))
	}
}

// pump sends what the window allows: parts not sent yet and parts whose answer
// is overdue. It returns whether any was overdue, and when to look again.
func (u *upload) pump(nowNanos, rto, deadlineNanos int64) (lost bool, nextNanos int64, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.taken == len(u.parts) {
		return u.finale(nowNanos, rto)
	}
	if u.roomBytes() < u.partBytes { // the path has become narrower
		u.restart()
		return true, nowNanos, nil
	}
	lost = u.expire(nowNanos, rto)
	nextNanos = nowNanos + rto
	flying := 0
	for i := u.low; i < len(u.parts); i++ {
		p := &u.parts[i]
		if p.taken {
			continue
		}
		if flying++; flying > u.window {
			break
		}
		if p.sentNanos != 0 && !u.overtaken(p) {
			nextNanos = min(nextNanos, max(p.sentNanos, u.replyNanos)+rto)
			continue
		}
		if err := u.send(i, nowNanos, deadlineNanos); err != nil {
			return lost, 0, err
		}
	}
	return lost, nextNanos, nil
}

// overtaken says whether a part is lost, because later ones have been answered. The
// window pays for it once for all that were on their way together.
func (u *upload) overtaken(p *uploadPart) bool {
	if p.order+reorderedParts > u.newest {
		return false
	}
	u.node.client.counters.resent.Add(1)
	if p.order >= u.recover {
		u.shrink()
	}
	return true
}

// shrink halves the window. The caller holds mu.
func (u *upload) shrink() {
	u.window = max(u.window/2, uploadWindowLeast)
	u.recover = u.order + 1
}

// expire marks overdue parts to be sent again.
func (u *upload) expire(nowNanos, rto int64) (lost bool) {
	for i := u.low; i < len(u.parts); i++ {
		p := &u.parts[i]
		if !p.taken && p.sentNanos != 0 && max(p.sentNanos, u.replyNanos)+rto <= nowNanos {
			p.sentNanos = 0
			lost = true
			u.node.client.counters.resent.Add(1)
		}
	}
	if lost {
		u.shrink()
	}
	return lost
}

// finale: the node has taken every part, but the answer that it has the whole
// was lost. After a silence one part is sent again, which brings it; if it does not,
// the node has forgotten the transfer, and the whole is sent anew.
func (u *upload) finale(nowNanos, rto int64) (lost bool, nextNanos int64, err error) {
	if at := u.replyNanos + rto; nowNanos < at {
		return false, at, nil
	}
	if u.asked {
		u.restart()
		return true, nowNanos, nil
	}
	u.asked = true
	u.taken--
	u.low = len(u.parts) - 1
	u.parts[u.low] = uploadPart{sends: 1}
	return true, nowNanos, nil
}

// restart sends the whole anew, as another transfer. The caller holds mu.
func (u *upload) restart() {
	u.mu.Unlock()
	u.leave()
	u.begin()
	u.mu.Lock()
	u.repeated = true
}

// send sends one part. The caller holds mu.
func (u *upload) send(i int, nowNanos, deadlineNanos int64) error {
	if u.conn == nil || u.parts[i].sends > 0 { // one path, so that answers keep their order; another after a loss
		k, err := u.node.socket(u.shard, u.generation)
		if err != nil {
			return err
		}
		u.conn = k
	}
	header := u.node.header(u.shard, u.hash, u.conn.cookie.Load(), nowNanos, deadlineNanos)
	header.RequestID = u.first + uint64(i)
	part := u.ask
	from := i * u.partBytes
	part.OffsetBytes = uint32(from)
	part.Value = u.ask.Value[from:min(from+u.partBytes, len(u.ask.Value))]
	u.datagram = wire.AppendRequest(u.datagram[:0], &header)
	u.datagram = wire.AppendOp(u.datagram, 0, &part)
	u.order++
	u.parts[i].sentNanos, u.parts[i].order = nowNanos, u.order
	u.parts[i].sends++
	u.conn.send(u.datagram)
	return nil
}

// receive takes in the answer to a part. It runs on a reader's goroutine.
func (u *upload) receive(reply *wire.Reply, from *conn, nowNanos int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	i := reply.RequestID - u.first
	ops := reply.Ops()
	var answer wire.ReplyOp
	if i >= uint64(len(u.parts)) || u.over || !ops.Next(&answer) {
		from.client.counters.late.Add(1)
		return
	}
	u.take(&u.parts[i], &answer, from, nowNanos)
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// take files the answer to a part.
func (u *upload) take(p *uploadPart, answer *wire.ReplyOp, from *conn, nowNanos int64) {
	switch answer.Status {
	case wire.StatusCookieRequired:
		from.renew(answer.Token)
		if p.sends < promptTries {
			p.sentNanos = 0
		}
	case wire.StatusUnavailable, wire.StatusBusyUploads:
		u.unavailable = true // ask again after the timeout
	case wire.StatusPartial:
		u.unavailable = false
		if p.taken {
			return
		}
		if p.sends == 1 { // else it may be the answer to an earlier sending
			u.node.measured(time.Duration(nowNanos - p.sentNanos))
			u.newest = max(u.newest, p.order)
		}
		if u.partBytes > unitBytes {
			u.node.path.carried()
		}
		p.taken = true
		u.taken++
		for u.low < len(u.parts) && u.parts[u.low].taken {
			u.low++
		}
		u.replyNanos = nowNanos
		u.window = min(u.window+1, uploadWindowMost)
	default:
		u.over = true
		u.answer = *answer
		u.answer.Value = nil
	}
}

// outcome reads whether the node has answered for the whole, and what.
func (u *upload) outcome() (over bool, answer wire.ReplyOp) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over && u.repeated && u.ask.Code != wire.Put && u.answer.Status != wire.StatusOK {
		// The first whole may have counted, and be why this one was refused.
		u.failure = ErrOutcomeUnknown
	}
	return u.over, u.answer
}

// timedOut says why the upload ends without an answer.
func (u *upload) timedOut(ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	reason := ErrTimeout
	if u.unavailable || u.node.refusedSince(u.parts[0].sentNanos) {
		reason = ErrUnavailable
	}
	return newTimeout(ctx, reason, true)
}
