package dataplane

import (
	"gannet/board"
	"gannet/dataplane/port"
	"gannet/shard"
	"gannet/wire"
)

// heed takes over what replication says, once a turn: spans, words, and the
// acknowledgements that may leave now.
func (l *Loop) heed() {
	n := &l.neighbor
	if generation := n.replication.Generation(); generation != n.spansSeen && n.replication.Read(&n.lists) {
		n.spansSeen = generation
		l.withdrawLacking()
	}
	n.syncNanos = n.replication.SyncNanos()
	if len(n.waits.list) > 0 {
		l.endWaits()
	}
}

// held says whether this node leads a key and must not write it yet.
func (n *neighbor) held(hash uint64) bool {
	return len(n.lists.Held) > 0 && board.InSpans(n.lists.Held, hash)
}

// alone says whether a key has no follower.
func (n *neighbor) alone(hash uint64) bool {
	return len(n.lists.Degraded) > 0 && board.InSpans(n.lists.Degraded, hash)
}

// lacks says whether this node, which follows a key, does not have its range whole.
func (n *neighbor) lacks(hash uint64) bool {
	return len(n.lists.Lacking) > 0 && board.InSpans(n.lists.Lacking, hash)
}

// standsIn says whether this node follows a key in the place of a node that is down.
func (n *neighbor) standsIn(hash uint64) bool {
	return len(n.lists.Spare) > 0 && board.InSpans(n.lists.Spare, hash)
}

// turnMisses sends readers of what is not here to the leader where this node stands in
// for another: there it keeps what it has room for, and a miss would tell of its room,
// not of the key. The version says that it is not the range that is lacking: clients
// need not leave this node out.
func (l *Loop) turnMisses(gets []shard.Get) {
	if len(l.neighbor.lists.Spare) == 0 || l.ring == nil {
		return
	}
	for i := range gets {
		g := &gets[i]
		if g.Outcome == shard.Miss && l.neighbor.standsIn(g.Hash) && !l.ring.Owns(l.cfg.NodeID, g.Hash) {
			g.Outcome, g.Item.Version = shard.Behind, max(l.store.Version(), 1)
		}
	}
}

// waiting is a datagram of writes whose acknowledgement waits for followers.
type waiting struct {
	rx            port.Rx // its frame; held
	header        wire.ReplyHeader
	limit         int
	ops           [waitOps]wire.ReplyOp
	opCount       int
	hash          uint64 // of one of its writes
	upto          uint64 // the greatest version among them
	deadlineNanos int64
}

// waits are in the order of their versions.
type waits struct{ list []waiting }

// begin starts the answer to a datagram, whose operations are collected or not.
func (n *neighbor) begin(collect bool) {
	n.collecting = collect
	n.collected.opCount, n.collected.upto = 0, 0
}

// asksReplica says whether a datagram's acknowledgement is to wait for followers, as
// far as its form and the room for waiting go.
func (l *Loop) asksReplica(req *wire.Request) bool {
	if l.neighbor.syncNanos == 0 {
		return false
	}
	ops := req.Ops()
	var op wire.Op
	for ops.Next(&op) {
		if op.Flags&wire.OpAckReplica != 0 {
			return l.mayWait(req)
		}
	}
	return false
}

// acknowledge puts the answer to a write into the reply, or aside.
func (l *Loop) acknowledge(w *written, flags wire.ReplyFlags) {
	n := &l.neighbor
	if n.collecting {
		n.collected.ops[n.collected.opCount] = wire.ReplyOp{
			Code: w.code, Status: w.status, Flags: flags, Index: w.index, Version: wire.Version(w.version), Token: w.token,
		}
		n.collected.opCount++
		return
	}
	l.counts.status[w.status]++
	if !l.makeRoom(0) || !l.reply.w.AppendAnswer(w.code, w.status, flags, w.index, wire.Version(w.version), w.token) {
		l.counts.reason[ReasonNoReplyFrame]++
	}
}

// mark says whether the acknowledgement of a write that was done is marked as degraded,
// or notes which version it waits for.
func (l *Loop) mark(hash, version uint64, asked bool) wire.ReplyFlags {
	n := &l.neighbor
	switch {
	case n.syncNanos == 0: // nothing is replicated: who asked for a replica is told
		if asked {
			return wire.ReplyDegraded
		}
	case n.alone(hash):
		return wire.ReplyDegraded
	case asked && n.collecting:
		n.collected.hash = hash
		n.collected.upto = max(n.collected.upto, version)
	case asked:
		l.counts.reason[ReasonWaitsFull]++
		return wire.ReplyDegraded
	case l.nowNanos >= n.syncNanos: // older writes than this are not with a follower yet
		return wire.ReplyDegraded
	}
	return 0
}

// keepBack keeps a collected answer back until followers have what it acknowledges;
// false when there is nothing to wait for: then it stands in the reply.
func (l *Loop) keepBack(in *inbound) bool {
	n := &l.neighbor
	if n.collected.upto > n.replicated.Upto() {
		l.wait(in, &n.collected)
		return true
	}
	for i := range n.collected.ops[:n.collected.opCount] {
		l.add(&n.collected.ops[i])
	}
	return false
}

// mayWait says whether a datagram's acknowledgement can be kept back: all of it are
// writes, there are not too many of them, and there is room.
func (l *Loop) mayWait(req *wire.Request) bool {
	if req.OpCount > waitOps || len(l.neighbor.waits.list) == cap(l.neighbor.waits.list) ||
		l.heldFrames() > cap(l.tx)/2 {
		return false
	}
	ops := req.Ops()
	var op wire.Op
	for ops.Next(&op) {
		if !op.Code.Writes() {
			return false
		}
	}
	return true
}

// wait keeps back the acknowledgement of the datagram being answered. Its operations
// are those that serveWrite would have put into the reply.
func (l *Loop) wait(in *inbound, w *waiting) {
	b := &l.reply
	b.isOpen = false // the frame belongs to the wait
	w.rx, w.header, w.limit = b.rx, b.header, b.limit
	w.deadlineNanos = l.nowNanos + longestWaitNanos
	if in.req.BudgetMicros != 0 {
		w.deadlineNanos = min(w.deadlineNanos, in.rx.ArrivedNanos+int64(in.req.BudgetMicros)*1000*3/4)
	}
	l.neighbor.waits.list = append(l.neighbor.waits.list, *w)
	l.neighbor.heartbeat.SetPatient(false) // the next turn, before any sleep, looks at what followers have
}

// endWaits answers the datagrams whose writes every follower in sync has, and those
// that have waited long enough: they are marked degraded.
func (l *Loop) endWaits() {
	n := &l.neighbor
	upto, kept := n.replicated.Upto(), n.waits.list[:0]
	for i := range n.waits.list {
		w := &n.waits.list[i]
		late := l.nowNanos >= w.deadlineNanos || n.alone(w.hash)
		if w.upto > upto && !late {
			kept = append(kept, *w)
			continue
		}
		l.answerWait(w, w.upto > upto)
	}
	clear(n.waits.list[len(kept):])
	n.waits.list = kept
	n.heartbeat.SetPatient(len(kept) == 0)
}

// answerWait sends an acknowledgement, unless the fence has fallen while it waited.
func (l *Loop) answerWait(w *waiting, degraded bool) {
	b := &l.reply
	b.rx, b.like, b.isOpen = w.rx, w.rx.Frame, true
	b.header, b.limit, b.departNanos, b.kbit = w.header, w.limit, 0, 0
	b.w.Begin(b.rx.Payload[:b.limit], &b.header, l.sums)
	fenced := !l.neighbor.fence.Allows(l.nowNanos)
	for i := range w.ops[:w.opCount] {
		op := &w.ops[i]
		switch {
		case op.Status != wire.StatusOK:
		case fenced:
			l.counts.reason[ReasonFenced]++
			*op = wire.ReplyOp{Code: op.Code, Index: op.Index, Status: wire.StatusOutcomeUnknown}
		case degraded:
			op.Flags |= wire.ReplyDegraded
		}
		l.add(op)
	}
	l.close()
}

// noteUses gathers the hits of a batch for the followers, who see no reads. What
// finds no room is left out: a hint is lost, nothing else.
func (l *Loop) noteUses(gets []shard.Get) {
	n := &l.neighbor
	if l.cfg.Log == nil || !l.cfg.Log.queue.Followed() {
		return
	}
	for i := range gets {
		if gets[i].Outcome == shard.Hit && len(n.uses) < cap(n.uses) {
			n.uses = board.AppendReference(n.uses, gets[i].Hash)
		}
	}
}

// tellUses puts the gathered hits into the log now and then.
func (l *Loop) tellUses() {
	n := &l.neighbor
	if len(n.uses) == 0 || l.nowNanos-n.usesNanos < usesNanos {
		return
	}
	n.usesNanos = l.nowNanos
	l.cfg.Log.queue.PushMutation(&board.Mutation{Kind: board.MutationReference, Value: n.uses})
	n.uses = n.uses[:0]
}
