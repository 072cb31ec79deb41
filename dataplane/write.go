package dataplane

import (
	"gannet/board"
	"gannet/shard"
	"gannet/wire"
)

// serveOps serves the datagrams that hold more than GETs, one after the other, and
// the operations of each in their order.
func (l *Loop) serveOps() {
	foreseen := 0
	for i := range l.batch[:l.batchSize] {
		in := &l.batch[i]
		if in.verdict != verdictOps {
			continue
		}
		if i >= foreseen {
			foreseen = l.foresee(i)
		}
		l.serveDatagram(in)
	}
}

// batchHashes is how many keys foresee tells of at once, and as many as one datagram
// holds besides.
const batchHashes = 2 * wire.MaxOps

// foresee tells the shard which keys the datagrams from one on will look up: some, whose
// cache lines then come while others are worked on. It returns the first that it left
// out.
func (l *Loop) foresee(from int) (upto int) {
	hashes := l.hashes[:0]
	for upto = from; upto < l.batchSize && len(hashes)+wire.MaxOps <= len(l.hashes); upto++ {
		in := &l.batch[upto]
		if in.verdict != verdictOps {
			continue
		}
		before := len(hashes)
		in.hashAt = before
		hashes = in.req.AppendKeyHashes(hashes)
		for index, hash := range hashes[before:] {
			l.store.ForeseeWrite(hash, in.req.SessionID, requestOf(&in.req, index))
		}
	}
	l.store.Foresee(hashes)
	return upto
}

// setAside copies a datagram of several operations out of its frame, where the
// replies to the first ones would overwrite the last ones. One of writes alone needs
// none: see serveDatagram.
func (l *Loop) setAside(in *inbound) *wire.Request {
	n := copy(l.scratch, in.rx.Payload)
	l.mixed = in.req.InCopy(l.scratch[:n])
	return &l.mixed
}

// serveDatagram does the operations of a datagram. The answers to writes are put into
// the reply when all of them are done, or before an operation of another kind: until
// then the request stays whole, and the clock is read once for all of them.
func (l *Loop) serveDatagram(in *inbound) {
	req := &in.req
	l.open(in, true)
	l.neighbor.begin(l.asksReplica(req))
	ops := req.Ops()
	var op wire.Op
	for ops.Next(&op) {
		if op.Code.Writes() {
			l.serveWrite(in, &op)
			continue
		}
		if req == &in.req && req.OpCount > 1 {
			req = l.setAside(in)
			ops = req.Ops()
			for range op.Index + 1 {
				ops.Next(&op)
			}
		}
		l.acknowledgeWrites()
		switch op.Code {
		case wire.Get:
			l.put(0, req, &op)
			l.store.GetBatch(l.gets[:1], l.nowNanos)
			l.addGet(&l.gets[0], &l.asks[0])
		case wire.Stats:
			l.addStats(&op)
		case wire.Ring:
			l.addRing(&op)
		}
	}
	l.acknowledgeWrites()
	if !l.neighbor.collecting || !l.keepBack(in) {
		l.close()
	}
}

// opOf maps the opcodes of writes; 0 = none.
var opOf = [wire.OpcodeCount]shard.Op{
	wire.Put: shard.Put, wire.Delete: shard.Delete, wire.Touch: shard.Touch, wire.Add: shard.Add,
	wire.Replace: shard.Replace, wire.CAS: shard.CAS, wire.Incr: shard.Incr,
}

var writeCounter = [wire.OpcodeCount]board.Counter{
	wire.Put: board.CountPuts, wire.Delete: board.CountDeletes, wire.Touch: board.CountTouches, wire.Add: board.CountAdds,
	wire.Replace: board.CountReplaces, wire.CAS: board.CountCAS, wire.Incr: board.CountIncrs,
}

var statusOf = [...]wire.Status{
	shard.OK: wire.StatusOK, shard.Exists: wire.StatusExists, shard.NotFound: wire.StatusNotFound,
	shard.VersionMismatch: wire.StatusVersionMismatch, shard.LeaseRefused: wire.StatusLeaseRefused,
	shard.TooLarge: wire.StatusTooLarge, shard.NoMemory: wire.StatusNoMemory, shard.BadRequest: wire.StatusBadRequest,
	shard.NotANumber: wire.StatusNotANumber, shard.Partial: wire.StatusPartial, shard.BusyUploads: wire.StatusBusyUploads,
	shard.Outdated: wire.StatusVersionMismatch,
}

// written is a write that was done, or refused, and is not yet answered.
type written struct {
	hash, version, token uint64
	index                uint16
	code                 wire.Opcode
	flags                wire.OpFlags
	status               wire.Status
	done                 bool // the shard was asked
}

// writes are those of one datagram.
type writes struct {
	list  [wire.MaxOps]written
	count int
}

// serveWrite does one write. The key's hash is computed here: what the sender claims
// decides nothing.
func (l *Loop) serveWrite(in *inbound, op *wire.Op) {
	l.counts.n[writeCounter[op.Code]]++
	w := &l.writes.list[l.writes.count]
	l.writes.count++
	w.hash, w.version, w.token = l.keyHash(in, op), 0, 0
	w.index, w.code, w.flags, w.done = uint16(op.Index), op.Code, op.Flags, false
	if w.status = l.misplaced(w.hash); w.status != wire.StatusOK {
		w.token = uint64(l.epoch)
		return
	}
	if l.neighbor.held(w.hash) {
		l.counts.reason[ReasonHeld]++
		w.status = wire.StatusFenced
		return
	}
	if !l.writable {
		l.counts.reason[ReasonFenced]++
		w.status = wire.StatusFenced
		return
	}
	l.fillWrite(&in.req, op, w.hash)
	w.done = true
	if op.Flags&wire.OpSegment != 0 {
		w.status = l.uploadPart(op)
	} else {
		l.store.Write(&l.write, l.nowNanos)
		w.status = statusOf[l.write.Status]
	}
	w.version = l.write.Version
	if op.Code == wire.Incr {
		w.token = uint64(l.write.Number)
	}
	l.write.Key, l.write.Value = nil, nil
}

// keyHash is that of an operation's key. foresee has computed all but the first one's,
// which the sender claims.
func (l *Loop) keyHash(in *inbound, op *wire.Op) uint64 {
	if op.Index == 0 {
		return wire.KeyHash(op.Key)
	}
	return l.hashes[in.hashAt+op.Index]
}

func (l *Loop) fillWrite(req *wire.Request, op *wire.Op, hash uint64) {
	w := &l.write // field by field: a literal is built elsewhere and copied
	w.Op, w.Hash, w.Hashed, w.Key, w.Value = opOf[op.Code], hash, true, op.Key, op.Value
	w.TTLSeconds, w.SoftSeconds = op.TTLSeconds, op.SoftSeconds
	w.Client, w.Request = req.SessionID, requestOf(req, op.Index)
	w.Arg, w.Token = 0, 0
	switch op.Code {
	case wire.CAS, wire.Incr:
		w.Arg = op.Arg
	default:
		w.Token = op.Arg
	}
}

// uploadPart takes one part of a value that is sent in segments.
func (l *Loop) uploadPart(op *wire.Op) wire.Status {
	l.counts.n[board.CountUploads]++
	l.upload = shard.Upload{
		Write: l.write, Transfer: op.Transfer, TotalBytes: int(op.TotalBytes), OffsetBytes: int(op.OffsetBytes),
		Data: op.Value,
	}
	l.upload.Write.Value = nil
	status := l.store.UploadPart(&l.upload, l.nowNanos)
	l.write = l.upload.Write
	return statusOf[status]
}

// acknowledgeWrites answers the writes that were done, unless the fence has fallen
// meanwhile: they may stand, but nobody must hear from this node that they do.
func (l *Loop) acknowledgeWrites() {
	if l.writes.count == 0 {
		return
	}
	allowed := l.neighbor.fence.Allows(l.clock())
	for i := range l.writes.list[:l.writes.count] {
		w := &l.writes.list[i]
		flags := wire.ReplyFlags(0)
		if w.done && !allowed {
			l.counts.reason[ReasonFenced]++
			w.status, w.token, w.version = wire.StatusOutcomeUnknown, 0, 0
		} else if w.done && w.status == wire.StatusOK {
			flags = l.mark(w.hash, w.version, w.flags&wire.OpAckReplica != 0)
		}
		l.acknowledge(w, flags)
	}
	l.writes.count = 0
}
