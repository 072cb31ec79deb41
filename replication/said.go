package replication

import (
	"slices"

	"gannet/replication/internal/plant"
	"gannet/ring"
)

// said is what the data plane was told last, so that it is told only what is new.
type said struct {
	held       RangeSet
	degraded   RangeSet
	degradedOK bool
	lacking    RangeSet
	lackingOK  bool
	led        RangeSet // what degraded was computed from
	synced     []sight
	sync       int64
	replicated []uint64
}

// sayAll tells everything that time may have changed, and greets followers that did
// not answer.
func (n *Node) sayAll() {
	for _, id := range n.outIDs {
		if o := n.outs[id]; o.up && !o.streaming && n.patient-o.greetedAt >= greetEvery {
			n.greet(o)
		}
	}
	n.say()
}

// say tells the data plane how far its writes are replicated.
func (n *Node) say() {
	lag := n.now - n.cfg.LagNanos
	oldest := n.readAt()
	marks := slices.Repeat([]uint64{^uint64(0)}, len(n.logs))
	synced := n.synced[:0]
	for _, id := range n.outIDs {
		o := n.outs[id]
		first, ok := n.unreplicated(o)
		if !ok || len(o.current) == 0 || first < lag || n.fence.alone {
			continue
		}
		synced = append(synced, sight{o, o.have, o.current})
		oldest = min(oldest, first)
		for s := range marks {
			marks[s] = min(marks[s], o.shards[s].acked)
		}
	}
	if len(synced) == 0 {
		oldest = 0
	}
	n.saySight(synced)
	n.saySync(oldest)
	if len(synced) > 0 {
		n.sayReplicated(marks)
	}
	n.synced = synced
}

// sight is a follower in sync, and what that covers.
type sight struct {
	o             *outbound
	have, current RangeSet
}

// saySight says which ranges nobody follows well enough. To compute them is dear, and
// mostly nothing has changed.
func (n *Node) saySight(synced []sight) {
	same := func(a, b sight) bool { return a.o == b.o && sameSet(a.have, b.have) && sameSet(a.current, b.current) }
	if n.said.degradedOK && sameSet(n.led, n.said.led) && slices.EqualFunc(synced, n.said.synced, same) {
		return
	}
	n.said.led, n.said.synced = n.led, slices.Clone(synced)
	var covered []ring.Range
	for _, s := range synced {
		covered = append(covered, s.have.Intersect(s.current)...)
	}
	n.sayDegraded(n.led.Minus(NewRangeSet(covered)))
}

// sameSet tells whether it is the very same set, which is immutable.
func sameSet(a, b RangeSet) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// unreplicated is when the oldest write was made that the follower has not
// acknowledged; far in the future when there is none.
func (n *Node) unreplicated(o *outbound) (born int64, ok bool) {
	if !o.streaming || !o.up {
		return 0, false
	}
	born = int64(^uint64(0) >> 1)
	for s := range o.shards {
		g := &n.logs[s]
		if i := g.after(o.shards[s].acked); i < len(g.chunks) {
			born = min(born, g.chunks[i].born)
		}
	}
	return born, true
}

// readAt: writes younger than this may still lie in a log unread.
func (n *Node) readAt() int64 {
	at := n.now
	for s := range n.logs {
		at = min(at, n.logs[s].readAt)
	}
	return at
}

func (n *Node) sayDegraded(ranges RangeSet) {
	if n.hides() {
		ranges = nil
	}
	if n.said.degradedOK && ranges.Equal(n.said.degraded) {
		return
	}
	n.said.degraded, n.said.degradedOK = ranges, true
	n.do(SetDegraded{ranges})
}

// hides is one of two planted faults.
func (n *Node) hides() bool {
	return n.planted(plant.HideDegraded) || n.planted(plant.PartitionUnmarked) && n.fence.alone
}

func (n *Node) saySync(oldest int64) {
	until := int64(0)
	if oldest > 0 {
		until = oldest + n.cfg.LagNanos
	}
	if n.hides() {
		until = n.now + 3600_000*millisecond
	}
	if until != n.said.sync {
		n.said.sync = until
		n.do(SetSync{until})
	}
}

func (n *Node) sayReplicated(marks []uint64) {
	if len(n.said.replicated) != len(marks) {
		n.said.replicated = make([]uint64, len(marks))
	}
	for s, upto := range marks {
		if upto > n.said.replicated[s] {
			n.said.replicated[s] = upto
			n.do(SetReplicated{uint16(s), upto})
		}
	}
}
