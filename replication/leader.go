package replication

import (
	"slices"

	"gannet/replication/internal/plant"
	"gannet/ring"
)

// outbound is the stream to one member that follows ranges of this node, or will.
type outbound struct {
	to        uint64
	up        bool     // there is a connection
	streaming bool     // the follower has resumed in this epoch
	ranges    RangeSet // what it is to have
	current   RangeSet // what it follows by the ring
	have      RangeSet // what it has, but for what is on its way
	resumed   RangeSet // what it had when it resumed
	shards    []outShard
	greetedAt int64 // patient
	repair    repairOut
}

// outShard is a shard's part of a stream. Up to floor the log is older than this
// node's lead of what the follower lacks: of that the repair brings what is still true.
type outShard struct{ sent, acked, floor uint64 }

const (
	batchBytes = 64 << 10
	greetEvery = 100 * millisecond
)

// setOutbound follows the ring: a stream for each member that is to have something.
func (n *Node) setOutbound() {
	all, current := n.rec.outOf(n.self)
	for id, f := range n.farewells {
		all[id] = all[id].Union(f.ranges)
	}
	for _, id := range n.outIDs {
		if _, still := all[id]; !still {
			n.stopRepair(n.outs[id])
			n.outs[id].ranges, n.outs[id].current, n.outs[id].have = nil, nil, nil
			n.outs[id].streaming = false
		}
	}
	for id, ranges := range all {
		o := n.outTo(id)
		o.ranges, o.current = ranges, current[id]
		o.have = o.have.Intersect(ranges)
		if !ranges.Covers(o.repair.ranges) {
			n.stopRepair(o)
		}
	}
}

func (n *Node) outTo(id uint64) *outbound {
	o := n.outs[id]
	if o == nil {
		o = &outbound{to: id}
		n.outs[id] = o
		n.outIDs = append(n.outIDs, id)
		slices.Sort(n.outIDs)
	}
	return o
}

func (n *Node) linkUp(with uint64) {
	o := n.outTo(with)
	o.up = true
	n.greet(o)
	if in := n.ins[with]; in != nil {
		in.started = false
		n.voidRepair(in)
	}
	if f := n.farewells[with]; f != nil {
		f.said = false
	}
}

func (n *Node) linkDown(with uint64) {
	o := n.outTo(with)
	o.up, o.streaming = false, false
	n.stopRepair(o)
	if in := n.ins[with]; in != nil {
		in.started = false
		n.voidRepair(in)
	}
}

func (n *Node) greetAll() {
	for _, id := range n.outIDs {
		n.greet(n.outs[id])
	}
}

// greet begins a stream anew; the follower answers with what it has.
func (n *Node) greet(o *outbound) {
	o.streaming = false
	n.stopRepair(o)
	if !o.up || len(o.ranges) == 0 || !n.mayStream() {
		return
	}
	o.greetedAt = n.patient
	spans := make([]Span, len(n.logs))
	for i := range n.logs {
		spans[i] = Span{n.logs[i].oldest, n.logs[i].newest}
	}
	n.send(o.to, Stream, Open{Epoch: n.rec.Epoch(), Life: n.logLife, Spans: spans})
}

// mayStream: a node that lost its items has nothing to teach its followers. They keep
// what they have until an epoch has said who leads.
func (n *Node) mayStream() bool { return !n.cold && n.logsKnown() }

func (n *Node) logsKnown() bool {
	return !slices.ContainsFunc(n.logs, func(g shardLog) bool { return !g.known })
}

// redo: the follower could not follow. One that says so again and again is greeted
// when it is time to greet.
func (n *Node) redo(from uint64) {
	o := n.outs[from]
	switch {
	case o == nil:
	case n.patient-o.greetedAt >= 10*millisecond:
		n.greet(o)
	default:
		o.streaming = false
		n.stopRepair(o)
	}
}

// resume begins to stream where the follower stopped, if the window reaches back so
// far. What it has counts only where this node has led ever since.
func (n *Node) resume(from uint64, e Resume) {
	n.learn(from, e.Epoch)
	if e.Epoch == n.rec.Epoch() && !e.Takes {
		n.dropFarewell(from)
	}
	o := n.outs[from]
	if o == nil || !o.up || e.Epoch != n.rec.Epoch() || len(o.ranges) == 0 || !n.mayStream() {
		return
	}
	n.stopRepair(o)
	at, whole := n.resumeAt(e)
	confirmed := NewRangeSet(e.Have).Intersect(o.ranges).Intersect(n.confirmed(from, e.Since))
	o.have = nil
	if whole {
		o.have = confirmed
	}
	o.resumed = o.have
	o.shards = make([]outShard, len(n.logs))
	for s := range o.shards {
		o.shards[s] = outShard{sent: at[s], acked: at[s], floor: n.logs[s].newest}
	}
	o.streaming = true
	n.send(from, Stream, Start{Epoch: n.rec.Epoch(), Life: n.logLife, From: at, Have: confirmed, Reset: !whole})
	n.pump(o)
	n.say()
}

// confirmed are the ranges in which a follower missed no other leader.
func (n *Node) confirmed(follower uint64, since uint32) RangeSet {
	set := ledThrough(n.ledSince, since)
	if f := n.farewells[follower]; f != nil {
		set = set.Union(ledThrough(f.ledSince, since))
	}
	return set
}

// resumeAt is where the stream begins, and whether that leaves no gap.
func (n *Node) resumeAt(e Resume) (at []uint64, whole bool) {
	at = make([]uint64, len(n.logs))
	whole = true
	for s := range n.logs {
		g := &n.logs[s]
		at[s] = g.newest
		var has uint64
		switch {
		case e.Life == n.logLife && len(e.Positions) == len(n.logs):
			has = e.Positions[s]
		case e.Life == 0 && e.Since != 0:
			has = Version(e.Since, 0) // it led before this node did
		default:
			whole = false
			continue
		}
		whole = whole && has >= g.oldest
		at[s] = min(max(has, g.oldest), g.newest)
	}
	whole = whole || n.planted(plant.ResumePastGap)
	if !whole {
		for s := range at {
			at[s] = n.logs[s].newest
		}
	}
	return at, whole
}

// pump sends what the window allows.
func (n *Node) pump(o *outbound) {
	if !o.streaming || !o.up {
		return
	}
	for s := range o.shards {
		for n.pumpShard(o, uint16(s)) {
		}
	}
	n.pumpRelease(o)
}

func (n *Node) pumpShard(o *outbound, shard uint16) bool {
	g, at := &n.logs[shard], &o.shards[shard]
	i := g.after(at.sent)
	if i == len(g.chunks) || g.totalAt(at.sent)-g.totalAt(at.acked) >= uint64(n.cfg.WindowBytes/len(n.logs)) {
		return false
	}
	base, last := g.totalAt(at.sent), i
	epoch := epochOf(g.chunks[i].upto)
	for last+1 < len(g.chunks) && g.chunks[last+1].total-base <= batchBytes && g.chunks[last].upto != at.floor && epochOf(g.chunks[last+1].upto) == epoch {
		last++
	}
	ranges := o.ranges
	if at.sent < at.floor {
		// What this node wrote in an earlier tenure may have lost to another leader's.
		ranges = o.resumed.Intersect(n.confirmed(o.to, epoch))
	}
	b := Batch{Epoch: n.rec.Epoch(), Life: n.logLife, Shard: shard, After: at.sent, Upto: g.chunks[last].upto}
	at.sent = b.Upto
	n.do(SendBatch{To: o.to, Batch: b, Ranges: ranges})
	return true
}

func (n *Node) acked(from uint64, e Ack) {
	n.learn(from, e.Epoch)
	o := n.outs[from]
	if o == nil || !o.streaming || e.Epoch != n.rec.Epoch() || e.Life != n.logLife || int(e.Shard) >= len(o.shards) {
		return
	}
	at := &o.shards[e.Shard]
	if e.Upto > at.sent || e.Upto <= at.acked {
		return
	}
	at.acked = e.Upto
	n.pump(o)
	n.endFarewells()
	n.say()
}

// farewell is what this node owes the new leader of ranges it led: the rest of its
// writes, and the word that it is the rest.
type farewell struct {
	epoch    uint32 // in which the other leads
	ranges   RangeSet
	ledSince []tenure // of ranges
	drained  bool
	final    []uint64
	said     bool
	until    int64 // patient
}

const farewellLongest = 2000 * millisecond

func (n *Node) beginFarewells(prev Record, lost RangeSet) {
	clear(n.farewells)
	s, member := n.state()
	left := !member && prev.Ring != nil && prev.Ring.Member(n.self) != nil && prev.Ring.Member(n.self).State == ring.Leaving
	if !left && (!member || s == ring.Down) || n.cold || len(lost) == 0 {
		return
	}
	for i := range n.members() {
		id := n.members()[i].ID
		if theirs := n.rec.ledBy(id).Intersect(lost); id != n.self && len(theirs) > 0 {
			n.farewells[id] = &farewell{epoch: n.rec.Epoch(), ranges: theirs, ledSince: tenuresWithin(n.ledSince, theirs), until: n.patient + farewellLongest}
		}
	}
}

// handsOver tells whether the data plane may still be answering writes of the epoch
// before. Who leaves in order keeps its fence that long, and does not renew it: the
// next leader waits for the last word, or for the fence.
func (n *Node) handsOver() bool {
	if !n.dataUp || n.cold {
		return false
	}
	for _, f := range n.farewells {
		if !f.drained {
			return true
		}
	}
	return false
}

func (n *Node) drained(e Drained) {
	for _, id := range slices.Sorted(mapKeys(n.farewells)) {
		f := n.farewells[id]
		if f.epoch != e.Epoch || f.drained {
			continue
		}
		f.drained = true
		f.final = make([]uint64, len(n.logs))
		for s := range n.logs {
			f.final[s] = n.logs[s].newest
		}
		if o := n.outs[id]; o != nil {
			n.pump(o)
		}
	}
	n.endFarewells()
}

// pumpRelease says the last word once all before it is on its way.
func (n *Node) pumpRelease(o *outbound) {
	f := n.farewells[o.to]
	if f == nil || !f.drained || f.said {
		return
	}
	for s := range o.shards {
		if o.shards[s].sent < f.final[s] {
			return
		}
	}
	f.said = true
	n.send(o.to, Stream, Release{Epoch: f.epoch, Positions: f.final})
}

// endFarewells: a new leader that has acknowledged all is one that this node can
// follow from the beginning of the epoch on.
func (n *Node) endFarewells() {
	for _, id := range slices.Sorted(mapKeys(n.farewells)) {
		f, o := n.farewells[id], n.outs[id]
		clean := f.drained && f.said && o != nil && o.streaming && o.have.Covers(f.ranges) && ackedAll(o, f.final)
		if !clean && n.patient < f.until {
			continue
		}
		delete(n.farewells, id)
		n.lackStale = true
		n.setOutbound()
		if in := n.ins[id]; clean && in != nil {
			n.followOn(in, f)
		}
		n.send(id, Stream, Redo{n.rec.Epoch()})
	}
}

// dropFarewell: the new leader did not wait for the rest.
func (n *Node) dropFarewell(id uint64) {
	if n.farewells[id] == nil {
		return
	}
	delete(n.farewells, id)
	n.lackStale = true
	n.setOutbound()
	n.send(id, Stream, Redo{n.rec.Epoch()})
}

func ackedAll(o *outbound, final []uint64) bool {
	for s := range o.shards {
		if o.shards[s].acked < final[s] {
			return false
		}
	}
	return len(o.shards) == len(final)
}
