package replication

import (
	"slices"

	"gannet/replication/internal/plant"
)

// A repair brings a follower the ranges it lacks, while the stream goes on: the
// greater version settles every race. What a delete could not settle, because its
// tombstone was forgotten before an old item arrived, cannot happen: each part
// carries the follower's own clock of a moment before the part was read, and one
// older than half a tombstone's life is refused.

// repairOut is the leader's side.
type repairOut struct {
	id      uint64 // 0: none
	ranges  RangeSet
	above   []uint64
	stamp   int64
	ready   bool
	waiting bool // for the driver's piece, or for the follower's acknowledgement
	number  uint32
	last    bool
	nextAt  int64 // patient: the rate limit
}

// repairIn is the follower's side.
type repairIn struct {
	id     uint64
	ranges RangeSet
	number uint32 // of the next part
	last   bool
	begun  int64
	stamp  int64 // of the last part
	kept   bool  // the parts bring only what is newer than what was kept
}

func (n *Node) repairAll() {
	for _, id := range n.outIDs {
		n.repairOne(n.outs[id])
	}
}

func (n *Node) repairOne(o *outbound) {
	if !o.streaming || !o.up {
		return
	}
	r := &o.repair
	if r.id == 0 {
		// What is being taken over is not whole here before its old leader's last word.
		lacks := o.ranges.Minus(o.have).Minus(n.said.held)
		if len(lacks) == 0 {
			return
		}
		n.nextID++
		*r = repairOut{id: n.nextID, ranges: lacks, nextAt: r.nextAt}
		n.send(o.to, Stream, Begin{Epoch: n.rec.Epoch(), ID: r.id, Ranges: lacks, Floor: n.floors()})
		return
	}
	if r.ready && !r.waiting && n.patient >= r.nextAt && n.settled() {
		r.waiting = true
		n.do(Scan{To: o.to, ID: r.id, Ranges: r.ranges, Above: r.above})
	}
}

// settled tells whether the data plane has taken all that earlier leaders sent. What it
// takes later is in no log of this node: a scan must not overtake it.
func (n *Node) settled() bool { return n.taken >= n.settleAt }

func (n *Node) stopRepair(o *outbound) {
	if o.repair.ready {
		n.do(StopScan{o.to, o.repair.id})
	}
	o.repair = repairOut{nextAt: o.repair.nextAt}
}

// running returns the outbound whose repair this is.
func (n *Node) running(to, id uint64) *outbound {
	o := n.outs[to]
	if o == nil || id == 0 || o.repair.id != id || !o.streaming {
		return nil
	}
	return o
}

func (n *Node) ready(from uint64, e Ready) {
	o := n.running(from, e.ID)
	if o == nil || o.repair.ready || e.Epoch != n.rec.Epoch() {
		return
	}
	o.repair.ready, o.repair.stamp = true, e.StampNanos
	if len(e.Above) == len(n.logs) {
		o.repair.above = e.Above
	}
	n.repairOne(o)
}

func (n *Node) scanned(e Scanned) {
	o := n.running(e.To, e.ID)
	if o == nil || !o.repair.waiting {
		return
	}
	r := &o.repair
	r.last = e.Last
	r.nextAt = n.patient + int64(float64(e.Bytes)/float64(n.cfg.RepairBytesPerSecond)*1e9)
	n.do(SendPart{To: o.to, Part: Part{
		Epoch: n.rec.Epoch(), ID: r.id, Number: r.number, StampNanos: r.stamp, Last: e.Last, Upto: e.Upto, Records: e.Records,
	}})
}

func (n *Node) partAcked(from uint64, e PartAck) {
	o := n.running(from, e.ID)
	if o == nil || e.Number != o.repair.number || !o.repair.waiting {
		return
	}
	r := &o.repair
	r.number++
	r.stamp, r.waiting = e.StampNanos, false
	if !r.last {
		n.repairOne(o)
		return
	}
	o.have = o.have.Union(r.ranges)
	o.repair = repairOut{nextAt: r.nextAt}
	n.say()
}

// begin: what the window left behind a short while ago the follower keeps, and asks
// for what is newer: every delete since is still remembered by the leader. All else
// the parts replace, piece by piece, so that a leader that dies in between leaves more
// than nothing.
func (n *Node) begin(from uint64, e Begin) {
	in := n.ins[from]
	if in == nil || e.Epoch != n.rec.Epoch() || n.farewells[from] != nil {
		return // after the farewell it is greeted again
	}
	ranges := NewRangeSet(e.Ranges)
	if !in.started || !in.ranges.Covers(ranges) {
		n.send(from, Stream, Redo{n.rec.Epoch()})
		return
	}
	in.repair = &repairIn{id: e.ID, ranges: ranges, begun: n.now}
	answer := Ready{Epoch: e.Epoch, ID: e.ID, StampNanos: n.now}
	if in.above != nil && in.kept.Covers(ranges) && reached(in.above, e.Floor) {
		answer.Above = in.above
		in.repair.kept = true
	}
	in.have = in.have.Minus(ranges)
	n.lackStale = true
	n.remember()
	n.send(from, Stream, answer)
}

func (n *Node) part(from uint64, e Part) {
	in := n.ins[from]
	if in == nil || e.Epoch != n.rec.Epoch() {
		return
	}
	if in.repair == nil || in.repair.id != e.ID {
		n.send(from, Stream, Redo{n.rec.Epoch()}) // the data plane began anew since
		return
	}
	if e.Number != in.repair.number || n.late(e.StampNanos, n.cfg.TombstoneNanos/2) {
		n.askAgain(in)
		return
	}
	in.repair.number++
	in.repair.last, in.repair.stamp = e.Last, e.StampNanos
	n.ordered++
	n.do(ApplyPart{From: from, Part: e, Replace: !in.repair.kept && !n.planted(plant.KeepStaleData), AsOfNanos: in.repair.begun})
}

func (n *Node) late(stamp, limit int64) bool {
	return n.now-stamp > limit && !n.planted(plant.SlowParts)
}

// askAgain voids a repair and lets the leader begin another.
func (n *Node) askAgain(in *inbound) {
	n.voidRepair(in)
	in.started = false
	n.send(in.from, Stream, Redo{n.rec.Epoch()})
}

func (n *Node) partApplied(e PartApplied) {
	in := n.ins[e.From]
	if in == nil || in.repair == nil || in.repair.id != e.ID {
		return
	}
	if n.late(in.repair.stamp, n.cfg.TombstoneNanos) {
		n.askAgain(in) // it lay in the queue while the machine stood still
		return
	}
	n.send(e.From, Stream, PartAck{Epoch: n.rec.Epoch(), ID: e.ID, Number: e.Number, StampNanos: n.now})
	if !in.repair.last || e.Number+1 != in.repair.number {
		return
	}
	in.have = in.have.Union(in.repair.ranges)
	n.fallback = n.fallback.Union(in.repair.ranges)
	in.kept = in.kept.Minus(in.repair.ranges)
	in.repair = nil
	n.lackStale = true
	n.remember()
	n.report.changed = true
}

// askAnew: another life of the data plane may know nothing of the batches, parts and
// scans that were asked of the one before. What it has taken it has.
func (n *Node) askAnew() {
	for _, id := range n.inIDs() {
		in := n.ins[id]
		n.voidRepair(in)
		if in.started && !slices.Equal(in.received, in.applied) {
			in.started = false
			n.send(id, Stream, Redo{n.rec.Epoch()})
		}
	}
	for _, id := range n.outIDs {
		n.stopRepair(n.outs[id])
	}
	n.taken = n.ordered
	for s := range n.logs {
		n.logs[s].marks = nil // it has forgotten its tombstones
	}
}

// voidRepair: the parts so far are good, but the rest will have to come anew.
func (n *Node) voidRepair(in *inbound) {
	in.repair = nil
}
