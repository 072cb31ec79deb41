package bench

import (
	"encoding/binary"

	"gannet/loadgen/values"
	"gannet/wire"
)

// gannetCodec speaks Gannet's own protocol: a request is a datagram with an operation
// a key, all of one shard.
type gannetCodec struct {
	text       keyText
	sizes      Sizes
	ttlSeconds uint32
	maxPayload int
	pad        bool
	verify     bool
	budget     int64  // of a request, from its moment on the schedule; 0 = none
	scratch    []byte // a value
	key        []byte
}

// Bytes of operations, which begin and end at multiples of 8.
func padded(bytes int) int { return (bytes + wire.AlignBytes - 1) &^ (wire.AlignBytes - 1) }

func getBytes(keyBytes int) int { return wire.OpHeaderBytes + padded(keyBytes) }

func putBytes(keyBytes, valueBytes int) int { return getBytes(keyBytes) + padded(valueBytes) }

// partBytes is how much of a value fits into a datagram beside its key.
func (c *gannetCodec) partBytes() int {
	room := c.maxPayload - wire.RequestHeaderBytes - wire.OpSegmentBytes - getBytes(c.text.bytes)
	return room / wire.SegmentBytes * wire.SegmentBytes
}

// parts: a value longer than a datagram goes in segments. Options.check has made
// sure that such a request has one key.
func (c *gannetCodec) parts(write bool, keys []uint32) int {
	if !write || len(keys) > 1 || wire.RequestHeaderBytes+putBytes(c.text.bytes, c.sizes.Max()) <= c.maxPayload {
		return 1
	}
	bytes := c.sizes.Bytes(c.text.hash(keys[0] &^ answered))
	if wire.RequestHeaderBytes+putBytes(c.text.bytes, bytes) <= c.maxPayload {
		return 1
	}
	return (bytes + c.partBytes() - 1) / c.partBytes()
}

func (c *gannetCodec) closings(bool) int { return 0 }

func (c *gannetCodec) encode(b []byte, l *lane, sequence uint64, s *slot, keys []uint32, part int) int {
	d := append(b[:0], l.header...)
	binary.LittleEndian.PutUint64(d[wire.OffsetRequestID:], sequence)
	if c.budget > 0 {
		binary.LittleEndian.PutUint32(d[wire.OffsetBudgetMicros:], uint32(max(s.intended+c.budget-s.sent, 1000)/1000))
	}
	for i, number := range keys {
		op := wire.Op{Code: wire.Get, Key: c.text.append(c.key[:0], number&^answered)}
		hash := wire.KeyHash(op.Key)
		if i == 0 {
			binary.LittleEndian.PutUint64(d[wire.OffsetKeyHash:], hash)
		}
		switch {
		case s.write:
			c.fillPut(&op, hash, sequence, len(keys), part)
		case c.pad:
			op.Value = c.scratch[:c.padding(hash)]
		}
		if len(d)+op.Bytes() > len(b) {
			return 0
		}
		d = wire.AppendOp(d, 0, &op)
	}
	return len(d)
}

// padding makes a GET as long as its reply.
func (c *gannetCodec) padding(keyHash uint64) int {
	reply := wire.MinReplyBytes + padded(c.sizes.Bytes(keyHash))
	return max(reply-wire.RequestHeaderBytes-getBytes(c.text.bytes), 0)
}

// fillPut makes op a PUT of the key's value, or of one part of it.
func (c *gannetCodec) fillPut(op *wire.Op, keyHash, sequence uint64, keys, part int) {
	op.Code, op.TTLSeconds = wire.Put, c.ttlSeconds
	total := c.sizes.Bytes(keyHash)
	if keys > 1 || wire.RequestHeaderBytes+putBytes(c.text.bytes, total) <= c.maxPayload {
		op.Value = values.Append(c.scratch[:0], keyHash, total)
		return
	}
	offset := part * c.partBytes()
	op.Flags |= wire.OpSegment
	op.TotalBytes, op.OffsetBytes, op.Transfer = uint32(total), uint32(offset), sequence+1
	op.Value = values.AppendPart(c.scratch[:0], keyHash, total, offset, min(total-offset, c.partBytes()))
}

func (c *gannetCodec) decode(w *worker, l *lane, data []byte) int {
	var reply wire.Reply
	if wire.ParseReply(data, &reply) != wire.ReasonNone {
		w.strange(kindMalformed)
		return len(data)
	}
	sequence := reply.RequestID
	s := l.pending.find(sequence)
	if s == nil || reply.SessionID != l.session {
		return len(data) // late, or a second answer
	}
	if reply.Epoch != l.epoch { // the node's hot keys are for those who know its ring
		l.epoch = reply.Epoch
		binary.LittleEndian.PutUint32(l.header[wire.OffsetEpoch:], reply.Epoch)
	}
	if reply.Flags&wire.FlagStages != 0 {
		n := &w.counts[s.phase]
		n.stages++
		n.queuedNanos += reply.Stages.ServedNanos - reply.Stages.ReceivedNanos
		n.servedNanos += reply.Stages.SentNanos - reply.Stages.ServedNanos
	}
	var op wire.ReplyOp
	for ops := reply.Ops(); ops.Next(&op); {
		if s.number != sequence+1 {
			break // ended by the operation before
		}
		c.answer(w, l, sequence, s, &op)
	}
	return len(data)
}

// answer takes one operation's answer.
func (c *gannetCodec) answer(w *worker, l *lane, sequence uint64, s *slot, op *wire.ReplyOp) {
	switch {
	case op.Status == wire.StatusCookieRequired:
		c.takeCookie(w, l, sequence, op.Token)
		return
	case op.Status == wire.StatusPartial:
		return // the last part's answer counts
	case op.Code == 0: // of the request as a whole
		w.failRest(l, sequence, s, kind(op.Status))
		return
	}
	index := int(op.Index)
	if op.Flags&wire.ReplySegment != 0 && op.Status == wire.StatusOK {
		c.segment(w, l, sequence, s, op)
		return
	}
	key, ok := l.pending.take(sequence, s, index)
	switch {
	case !ok: // answered before
	case op.Status == wire.StatusOK && s.write:
		w.stored(l, sequence, s)
	case op.Status == wire.StatusOK:
		w.hit(l, sequence, s, key, op.Value)
	case op.Status == wire.StatusMiss && !s.write:
		w.miss(l, sequence, s)
	default:
		w.fail(l, sequence, s, kind(op.Status))
	}
}

// takeCookie takes a fresh cookie, as a server asks for every so often, and repeats
// the request. Its latency goes on counting.
func (c *gannetCodec) takeCookie(w *worker, l *lane, sequence, cookie uint64) {
	binary.LittleEndian.PutUint64(l.header[wire.OffsetCookie:], cookie)
	w.resend = append(w.resend, resend{l, sequence})
}

// segment takes a part of a long value. The operation ends with the last of them.
func (c *gannetCodec) segment(w *worker, l *lane, sequence uint64, s *slot, op *wire.ReplyOp) {
	index := int(op.Index)
	if index >= int(s.count) || l.pending.got == nil {
		w.failRest(l, sequence, s, kindUnexpected)
		return
	}
	key := l.pending.keysOf(sequence, int(s.count))[index] &^ answered
	hash := c.text.hash(key)
	if c.verify && (int(op.TotalBytes) != c.sizes.Bytes(hash) || !values.CheckPart(op.Value, hash, int(op.TotalBytes), int(op.OffsetBytes))) {
		if _, ok := l.pending.take(sequence, s, index); ok {
			w.corrupt(l, sequence, s)
		}
		return
	}
	got := l.pending.gotOf(sequence, index)
	if *got += uint32(len(op.Value)); *got < op.TotalBytes {
		return
	}
	if _, ok := l.pending.take(sequence, s, index); ok {
		w.counts[s.phase].hits++
		w.ended(l, sequence, s)
	}
}
