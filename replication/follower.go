package replication

import (
	"slices"

	"gannet/replication/internal/plant"
	"gannet/ring"
)

// inbound is the stream from one leader.
type inbound struct {
	from     uint64
	life     uint64 // of the leader's log, 0 = unknown
	received []uint64
	applied  []uint64 // positions, by shard: all of have up to here is with the data plane
	have     RangeSet
	since    uint32   // the epoch in which the leader confirmed have, or followOn did
	follow   RangeSet // what this node takes by the ring
	ranges   RangeSet // and, besides, what the leader still owes it
	exact    bool     // applied is not older than what the data plane has
	started  bool     // the leader streams in this epoch
	doubted  bool     // have is of before a leap over epochs

	// kept is what it had when the log's window left it behind, up to the positions
	// above, so that the repair can be short.
	kept  RangeSet
	above []uint64

	repair *repairIn
}

func (n *Node) inIDs() []uint64 { return slices.Sorted(mapKeys(n.ins)) }

// want sets what this node takes from a leader.
func (n *Node) want(in *inbound) {
	in.ranges = in.follow
	for _, t := range n.takeovers {
		in.ranges = in.ranges.Union(t.from[in.from])
	}
	in.have = in.have.Intersect(in.ranges)
	in.kept = in.kept.Intersect(in.ranges)
	n.lackStale = true
}

// setInbound follows the ring. What belongs to another leader now is no longer had
// from this one.
func (n *Node) setInbound(into map[uint64]RangeSet) {
	for id := range into {
		n.inFrom(id)
	}
	for _, t := range n.takeovers {
		for id := range t.from {
			n.inFrom(id)
		}
	}
	for _, id := range n.inIDs() {
		in := n.ins[id]
		in.follow = into[id]
		n.want(in)
		in.started = false
		n.voidRepair(in)
	}
	n.dirty = true
}

func (n *Node) inFrom(id uint64) *inbound {
	in := n.ins[id]
	if in == nil {
		in = &inbound{from: id, exact: true}
		n.ins[id] = in
	}
	return in
}

// trimInbound is setInbound for one leader whose last word is said.
func (n *Node) trimInbound(id uint64) {
	if in := n.ins[id]; in != nil {
		n.want(in)
		n.dirty = true
	}
}

// opened: the leader greets. The follower says what it has, if they agree on the epoch.
func (n *Node) opened(from uint64, e Open) {
	n.learn(from, e.Epoch)
	in := n.ins[from]
	if in == nil || e.Epoch != n.rec.Epoch() || len(in.ranges) == 0 {
		return
	}
	in.started = false
	n.voidRepair(in)
	answer := Resume{Epoch: n.rec.Epoch(), Life: in.life, Have: in.have, Since: in.since, Takes: n.takesFrom(from)}
	if in.life == e.Life && len(in.applied) == len(e.Spans) {
		answer.Positions = slices.Clone(in.applied)
	} else if in.life != 0 {
		in.forget()
		n.lackStale = true
		answer.Life, answer.Have, answer.Since = 0, nil, 0
	}
	n.send(from, Stream, answer)
}

// forget: the leader's log is another than the one this node followed.
func (in *inbound) forget() {
	in.life, in.received, in.applied, in.have, in.kept, in.above, in.since = 0, nil, nil, nil, nil, nil, 0
}

// started: the leader streams from these positions.
func (n *Node) started(from uint64, e Start) {
	in := n.ins[from]
	if in == nil || e.Epoch != n.rec.Epoch() {
		return
	}
	if in.life == e.Life && !reached(e.From, in.applied) && len(in.applied) == len(e.From) {
		// It answers positions of before the data plane took the last batches. What it has
		// must not come again: deletes in it could be forgotten by now.
		n.send(from, Stream, Redo{n.rec.Epoch()})
		return
	}
	confirmed := NewRangeSet(e.Have).Intersect(in.ranges)
	switch {
	case e.Reset && in.life == e.Life && len(in.applied) == len(e.From):
		in.kept, in.above = in.have.Intersect(confirmed), slices.Clone(in.applied)
	case in.since != n.rec.Epoch():
		in.kept, in.above = nil, nil // somebody else may have led it in between
	}
	in.have = confirmed
	if e.Reset {
		in.have = nil
	}
	in.life, in.since = e.Life, n.rec.Epoch()
	in.applied, in.received = slices.Clone(e.From), slices.Clone(e.From)
	in.started, in.doubted = true, false
	n.lackStale = true
	n.remember()
	n.report.changed = true
}

// batch takes mutations that follow what is here without a gap, from the leader of
// this epoch.
func (n *Node) batch(from uint64, e Batch) {
	n.learn(from, e.Epoch)
	in := n.ins[from]
	if n.planted(plant.StaleEpoch) && e.Epoch < n.rec.Epoch() {
		n.ordered++
		n.do(Apply{from, e})
		return
	}
	if in == nil || e.Epoch != n.rec.Epoch() {
		return
	}
	if !in.started || e.Life != in.life || int(e.Shard) >= len(in.received) {
		n.send(from, Stream, Redo{n.rec.Epoch()})
		return
	}
	if e.After != in.received[e.Shard] {
		in.started = false
		n.send(from, Stream, Redo{n.rec.Epoch()})
		return
	}
	in.received[e.Shard] = e.Upto
	n.ordered++
	n.do(Apply{from, e})
}

func (n *Node) applied(e Applied) {
	in := n.ins[e.From]
	if in == nil || e.Life != in.life || int(e.Shard) >= len(in.applied) || e.Upto <= in.applied[e.Shard] {
		return
	}
	in.applied[e.Shard] = e.Upto
	n.dirty = true
	n.send(e.From, Stream, Ack{Epoch: n.rec.Epoch(), Life: e.Life, Shard: e.Shard, Upto: e.Upto})
	n.endTakeovers()
}

// followOn: this node led the ranges until the other had all of it. It goes on as
// that one's follower from the first write of the epoch on.
func (n *Node) followOn(in *inbound, f *farewell) {
	ranges := f.ranges.Intersect(in.ranges)
	if len(ranges) == 0 {
		return
	}
	if in.since == 0 || in.life == 0 {
		in.since = f.epoch
	}
	in.have = in.have.Union(ranges)
	n.lackStale = true
	n.remember()
}

// warm tells whether this node has all that the ring being worked towards wants it
// to have.
func (n *Node) warm() bool {
	if n.cold || !n.dataUp || n.rec.Ring == nil {
		return false
	}
	for _, in := range n.ins {
		if len(in.follow) > 0 && (!in.started || !in.have.Covers(in.follow)) {
			return false
		}
	}
	return true
}

func (n *Node) downOrGone() bool {
	s, ok := n.state()
	return !ok || s == ring.Down
}
