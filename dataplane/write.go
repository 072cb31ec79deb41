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
		req := &in.req
		if req.OpCount > 1 {
			req = l.setAside(in)
		}
		l.serveDatagram(in, req)
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
		hashes = in.req.AppendKeyHashes(hashes)
		for index, hash := range hashes[before:] {
			l.store.ForeseeWrite(hash, in.req.SessionID, requestOf(&in.req, index))
		}
	}
	l.store.Foresee(hashes)
	return upto
}

// setAside copies a datagram of several operations out of its frame, where the
// replies to the first ones would overwrite the last ones.
func (l *Loop) setAside(in *inbound) *wire.Request {
	n := copy(l.scratch, in.rx.Payload)
	l.mixed = in.req.InCopy(l.scratch[:n])
	return &l.mixed
}

func (l *Loop) serveDatagram(in *inbound, req *wire.Request) {
	l.open(in, true)
	l.neighbor.begin(l.asksReplica(req))
	ops := req.Ops()
	var op wire.Op
	for ops.Next(&op) {
		switch {
		case op.Code == wire.Get:
			l.put(0, req, &op)
			l.store.GetBatch(l.gets[:1], l.nowNanos)
			l.addGet(&l.gets[0], &l.asks[0])
		case op.Code == wire.Stats:
			l.addStats(&op)
		case op.Code == wire.Ring:
			l.addRing(&op)
		default:
			l.serveWrite(req, &op)
		}
	}
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

// serveWrite does one write and answers it. The key's hash is computed here: what
// the sender claims decides nothing.
func (l *Loop) serveWrite(req *wire.Request, op *wire.Op) {
	l.counts.n[writeCounter[op.Code]]++
	answer := wire.ReplyOp{Code: op.Code, Index: uint16(op.Index)}
	hash := wire.KeyHash(op.Key)
	if refused := l.misplaced(hash); refused != wire.StatusOK {
		answer.Status, answer.Token = refused, uint64(l.epoch)
		l.acknowledge(&answer)
		return
	}
	if l.neighbor.held(hash) {
		l.counts.reason[ReasonHeld]++
		answer.Status = wire.StatusFenced
		l.acknowledge(&answer)
		return
	}
	if !l.writable {
		l.counts.reason[ReasonFenced]++
		answer.Status = wire.StatusFenced
		l.acknowledge(&answer)
		return
	}
	l.fillWrite(req, op, hash)
	if op.Flags&wire.OpSegment != 0 {
		answer.Status = l.uploadPart(op)
	} else {
		l.store.Write(&l.write, l.nowNanos)
		answer.Status = statusOf[l.write.Status]
	}
	if !l.neighbor.fence.Allows(l.clock()) {
		// The fence fell while this was done: the write may stand, but nobody must
		// hear from this node that it does.
		l.counts.reason[ReasonFenced]++
		answer.Status = wire.StatusOutcomeUnknown
		l.acknowledge(&answer)
		return
	}
	l.answerWrite(&answer, op)
}

func (l *Loop) fillWrite(req *wire.Request, op *wire.Op, hash uint64) {
	l.write = shard.Write{
		Op: opOf[op.Code], Hash: hash, Key: op.Key, Value: op.Value,
		TTLSeconds: op.TTLSeconds, SoftSeconds: op.SoftSeconds,
		Client: req.SessionID, Request: requestOf(req, op.Index),
	}
	switch op.Code {
	case wire.CAS, wire.Incr:
		l.write.Arg = op.Arg
	default:
		l.write.Token = op.Arg
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

func (l *Loop) answerWrite(answer *wire.ReplyOp, op *wire.Op) {
	answer.Version = wire.Version(l.write.Version)
	if op.Code == wire.Incr {
		answer.Token = uint64(l.write.Number)
	}
	if answer.Status == wire.StatusOK {
		l.mark(answer, op.Flags&wire.OpAckReplica != 0)
	}
	l.write.Key, l.write.Value = nil, nil
	l.acknowledge(answer)
}
