package dataplane

import (
	"gannet/board"
	"gannet/shard"
	"gannet/wire"
)

// ask is what a GET wants besides its key.
type ask struct {
	flags       wire.OpFlags
	index       uint16
	offsetBytes uint32
	wantBytes   uint32 // 0 = to the end
	version     uint64 // being assembled; 0 = any
	refused     wire.Status
}

// pending is a datagram whose GETs stand in the loop's list.
type pending struct {
	in         *inbound
	from, upto int
	plain      bool // they want whole values and nothing else
}

// lookup gathers the GETs of the batch, looks them up together, and answers.
// Replies are built before any write of this turn, because values are borrowed.
func (l *Loop) lookup() {
	l.getCount, l.pendings = 0, 0
	for i := range l.batch[:l.batchSize] {
		in := &l.batch[i]
		if in.verdict != verdictGets {
			continue
		}
		if l.getCount+in.req.OpCount > len(l.gets) {
			l.answerGets()
		}
		l.gather(in)
	}
	l.answerGets()
}

// gather puts a datagram's GETs on the list. Most datagrams hold plain ones alone.
func (l *Loop) gather(in *inbound) {
	from, at, every := l.getCount, 0, wire.OpFlags(0)
	for index := range in.req.OpCount {
		key, flags, next := in.req.PlainGet(at)
		if next == 0 {
			l.getCount = from
			l.gatherAny(in)
			return
		}
		l.putPlain(l.getCount, &in.req, key, flags, index)
		l.getCount++
		at, every = next, every|flags
	}
	l.suspend(in, from, every&wire.OpNoValue == 0)
}

// suspend notes that a datagram waits for its GETs on the list.
func (l *Loop) suspend(in *inbound, from int, plain bool) {
	in.verdict = verdictDone
	p := &l.pending[l.pendings]
	p.in, p.from, p.upto, p.plain = in, from, l.getCount, plain
	l.pendings++
}

// gatherAny takes the slow way through the operations. A datagram with anything but
// GETs among them is taken off the list again, and left to the write stage.
func (l *Loop) gatherAny(in *inbound) {
	from := l.getCount
	ops := in.req.Ops()
	var op wire.Op
	for ops.Next(&op) {
		if op.Code != wire.Get {
			l.getCount = from
			in.verdict = verdictOps
			return
		}
		l.put(l.getCount, &in.req, &op)
		l.getCount++
	}
	l.suspend(in, from, false)
}

// put fills a place of the list from an operation.
func (l *Loop) put(at int, req *wire.Request, op *wire.Op) {
	l.putPlain(at, req, op.Key, op.Flags, op.Index)
	a := &l.asks[at]
	a.offsetBytes, a.wantBytes, a.version = op.OffsetBytes, op.TotalBytes, op.Transfer
}

// putPlain fills one with a GET of a whole value. The hash of the first key stands
// in the header; a sender that lies there finds nothing.
func (l *Loop) putPlain(at int, req *wire.Request, key []byte, flags wire.OpFlags, index int) {
	hash := req.KeyHash
	if index != 0 {
		hash = wire.KeyHash(key)
	}
	g := &l.gets[at]
	g.Hash, g.Key = hash, key
	g.MinVersion = uint64(req.MinVersion)
	if g.Lease = flags&wire.OpLease != 0; g.Lease {
		g.Client, g.Request = req.SessionID, requestOf(req, index)
	}
	a := &l.asks[at]
	a.flags, a.index, a.refused = flags, uint16(index), l.misplacedRead(g, hash)
}

// requestOf gives each operation of a datagram an identity of its own, for retries.
func requestOf(req *wire.Request, index int) uint64 {
	return req.RequestID ^ uint64(index)*0x9E3779B97F4A7C15
}

// misplaced says why a key is not this shard's: StatusMoved, or StatusOK when it is.
func (l *Loop) misplaced(hash uint64) wire.Status {
	if wire.ShardOf(hash, l.cfg.Shards) != l.cfg.Shard {
		l.counts.reason[ReasonWrongShard]++
		return wire.StatusMoved
	}
	if l.ring != nil && !l.ring.Owns(l.cfg.NodeID, hash) {
		l.counts.reason[ReasonNotOwned]++
		return wire.StatusMoved
	}
	return wire.StatusOK
}

// answerGets looks up what is on the list, answers it and empties the list.
func (l *Loop) answerGets() {
	if l.getCount == 0 {
		return
	}
	l.store.GetBatch(l.gets[:l.getCount], l.nowNanos)
	l.noteUses(l.gets[:l.getCount])
	l.turnMisses(l.gets[:l.getCount])
	for i := range l.pending[:l.pendings] {
		p := &l.pending[i]
		if p.plain && (l.answerInPlace(p) || l.answerPlain(p)) {
			continue
		}
		l.open(p.in, true)
		for i := p.from; i < p.upto; i++ {
			if !p.plain || !l.addShort(&l.gets[i], &l.asks[i]) {
				l.addGet(&l.gets[i], &l.asks[i])
			}
		}
		l.close()
		l.noteDeparture()
	}
	l.getCount, l.pendings = 0, 0
}

// addGet answers one GET.
func (l *Loop) addGet(g *shard.Get, a *ask) {
	l.counts.n[board.CountGets]++
	op := wire.ReplyOp{Code: wire.Get, Index: a.index}
	if a.refused != wire.StatusOK {
		op.Status = a.refused
		if a.refused == wire.StatusMoved {
			op.Token = uint64(l.epoch)
		}
		l.add(&op)
		return
	}
	item := &g.Item
	switch g.Outcome {
	case shard.Hit:
		op.Grant(l.grants.hint(g.Hash, item.AgeSeconds))
		l.addItem(&op, item, a)
		return
	case shard.Stale:
		op.Flags |= wire.ReplyStale
		if item.Token != 0 {
			op.Flags |= wire.ReplyLease
			op.Token = item.Token
		}
		l.addItem(&op, item, a)
		return
	case shard.LeaseGranted:
		op.Status, op.Token = wire.StatusLeaseGranted, item.Token
		op.Flags |= wire.ReplyLease
	case shard.LeaseWait:
		op.Status, op.Token = wire.StatusLeaseWait, uint64(item.WaitMillis)
	case shard.Behind:
		op.Status, op.Version = wire.StatusBehind, wire.Version(item.Version)
	default:
		op.Status = wire.StatusMiss
	}
	l.add(&op)
}

// addItem answers a GET that found its item: with the whole value, a part of it,
// or none.
func (l *Loop) addItem(op *wire.ReplyOp, item *shard.Item, a *ask) {
	op.Version = wire.Version(item.Version)
	op.TTLSeconds, op.AgeSeconds = item.TTLSeconds, item.AgeSeconds
	op.TotalBytes = uint32(len(item.Value))
	switch {
	case a.flags&wire.OpSegment != 0:
		l.addRange(op, item, a)
	case a.flags&wire.OpNoValue != 0:
		l.add(op)
	case len(item.Value) > l.reply.freshRoom():
		op.Flags |= wire.ReplySegment
		l.addLong(op, item, 0, len(item.Value))
	default:
		l.addPart(op, item, 0, len(item.Value))
	}
	if a.flags&(wire.OpSegment|wire.OpNoValue) == 0 {
		l.loss.line.Sent(len(item.Value), false)
	}
}

// addRange answers a GET that names a range of the value.
func (l *Loop) addRange(op *wire.ReplyOp, item *shard.Item, a *ask) {
	total := len(item.Value)
	from := int(a.offsetBytes)
	switch {
	case a.version != 0 && a.version != item.Version:
		op.Status = wire.StatusChanged
		l.add(op)
		return
	case from > total:
		op.Status = wire.StatusBadRequest
		l.add(op)
		return
	case a.flags&wire.OpNoValue != 0:
		l.add(op)
		return
	}
	upto := total
	if a.wantBytes != 0 {
		upto = int(min(uint64(total), roundUp(uint64(from)+uint64(a.wantBytes))))
	}
	if from != 0 || upto != total {
		op.Flags |= wire.ReplySegment
	}
	l.loss.line.Sent(upto-from, !l.overtake(item.Handle))
	if upto-from > l.reply.freshRoom() {
		op.Flags |= wire.ReplySegment
		l.addLong(op, item, from, upto)
		return
	}
	l.addPart(op, item, from, upto)
}

func roundUp(n uint64) uint64 {
	return (n + wire.SegmentBytes - 1) &^ (wire.SegmentBytes - 1)
}
