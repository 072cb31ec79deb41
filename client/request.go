package client

import (
	"time"

	"gannet/wire"
)

// build writes the datagram that asks for everything still missing. The caller
// holds mu.
//
// A call of several operations, or of a multi-get, gets a new request id when it is
// built again; see question. Any other of one operation keeps its id, by which the
// node knows a repeated write.
func (c *call) build(t *target, nowNanos, deadlineNanos int64) {
	if c.sends() > 0 && (len(c.ops) > 1 || c.multi) {
		c.supersede(t)
	}
	header := t.node.header(t.shard, c.hash, t.conn.cookie.Load(), nowNanos, deadlineNanos)
	header.RequestID = c.id
	header.MinVersion = wire.Version(c.minVersion)
	c.grant(&header, t, nowNanos)
	c.datagram = wire.AppendRequest(c.datagram[:0], &header)
	c.order = c.order[:0]
	limit := t.node.payloadBytes()
	first := true
	for i := range c.ops {
		if op := &c.ops[i]; !op.done {
			if first && op.ask.Key != nil {
				c.setHash(op)
			}
			first = false
			if c.padFirst(t, op) {
				op.ask.Value = padZeros[:op.padBytes]
			}
			c.appendAsk(uint16(i), op, limit)
			if op.padBytes > 0 {
				op.ask.Value = nil
			}
		}
	}
	if t.sends++; c.firstNanos == 0 {
		c.firstNanos = nowNanos
	}
	t.sentNanos = nowNanos
	c.resend, t.sameConn = false, false
}

// setHash corrects the header's key hash after earlier operations were answered.
func (c *call) setHash(op *operation) {
	if len(c.ops) > 1 {
		putKeyHash(c.datagram, wire.KeyHash(op.ask.Key))
	}
}

// appendAsk asks for an operation, or for what is missing of its value.
func (c *call) appendAsk(index uint16, op *operation, limitBytes int) {
	if op.parts == nil || !op.parts.begun {
		op.tailBytes = 0
		ask := op.ask
		if c.multi && c.targets[0].sends > 0 && ask.Flags&wire.OpNoValue == 0 {
			ask.Flags |= wire.OpSegment // all of it, again: nodes count what is asked for again
		}
		c.appendOp(index, &ask, limitBytes)
		return
	}
	ask := op.ask
	ask.Flags |= wire.OpSegment
	ask.Transfer = op.parts.version
	for from := 0; ; {
		offset, length, ok := op.parts.gap(from)
		if !ok {
			return
		}
		ask.OffsetBytes, ask.TotalBytes = uint32(offset), uint32(length)
		if !c.appendOp(index, &ask, limitBytes) {
			return
		}
		from = offset + length
		op.tailBytes = from
	}
}

// appendOp adds an operation if it fits the datagram. The first always does.
func (c *call) appendOp(index uint16, op *wire.Op, limitBytes int) bool {
	if len(c.order) > 0 && (len(c.order) >= wire.MaxOps || len(c.datagram)+op.Bytes() > limitBytes) {
		return false
	}
	c.datagram = wire.AppendOp(c.datagram, 0, op)
	c.order = append(c.order, index)
	return true
}

// budgetMicros is the time left as the header carries it; 0 would mean none given.
func budgetMicros(nowNanos, deadlineNanos int64) uint32 {
	left := (deadlineNanos - nowNanos) / int64(time.Microsecond)
	return uint32(min(max(left, 1), 1<<32-1))
}
