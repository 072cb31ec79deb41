package client

import (
	"slices"
	"time"
)

// earlierMost is how many of a call's earlier datagrams are remembered.
const earlierMost = 4

// question is a datagram of a call that was sent again since. A node that was only
// slow answers it all the same, and the answer is as good as any: it was made after
// the call began. Its arrival also shows that the client was impatient, and by how
// much: a timeout that is never told of the answers it did not wait for would never
// grow.
type question struct {
	id        uint64
	order     []uint16 // operation by its index in the datagram
	sentNanos int64
	slot      slot
	answered  bool // in part at least
}

// supersede gives the call a new request id, as the indexes of its operations move:
// an answer to the datagram before must not be taken for one to this. The caller holds
// mu.
func (c *call) supersede(t *target) {
	if len(c.earlier) == earlierMost {
		t.node.pending.remove(c.earlier[0].id)
		c.earlier = slices.Delete(c.earlier, 0, 1)
	}
	c.earlier = append(c.earlier, question{id: c.id, order: slices.Clone(c.order), sentNanos: t.sentNanos, slot: c.slot, answered: c.replyNanos > t.sentNanos})
	c.id = c.client.nextIDs(1)
	t.node.pending.add(c.id, c)
}

// earlierOf finds the datagram that an answer is to; nil when it is none of the
// call's. The caller holds mu.
func (c *call) earlierOf(id uint64) *question {
	for i := range c.earlier {
		if c.earlier[i].id == id {
			return &c.earlier[i]
		}
	}
	return nil
}

// forgetEarlier takes the earlier datagrams out of the tables. The caller holds mu.
func (c *call) forgetEarlier() {
	for i := range c.earlier {
		for k := range c.targets[:c.aims] {
			c.targets[k].node.pending.remove(c.earlier[i].id)
		}
	}
	c.earlier = c.earlier[:0]
}

// tooSoon learns from the first answer to a datagram that was given up too soon. The
// caller holds mu.
func (q *question) tooSoon(n *node, nowNanos int64) {
	if q.answered {
		return
	}
	q.answered = true
	n.measured(time.Duration(nowNanos - q.sentNanos - q.slot.offsetNanos))
	if q.slot.rateKbit != 0 {
		n.lag.observe(time.Duration(max(0, nowNanos-q.slot.endNanos)))
	}
}
