package replication

import (
	"gannet/replication/internal/plant"
	"gannet/ring"
)

// What a follower lacks it does not answer: a miss there would tell of its repair, not
// of the key, and a value could be as old as the last time it followed the range. It
// sends readers to the leader until the repair has ended. A leader answers in any case:
// there is nobody to send them to.

// sayLacking tells the data plane which ranges this node follows and has not whole.
func (n *Node) sayLacking() {
	n.lackStale = false
	lacks := n.lacks()
	if n.planted(plant.AnswerLacking) {
		lacks = nil
	}
	if n.said.lackingOK && lacks.Equal(n.said.lacking) {
		return
	}
	n.said.lacking, n.said.lackingOK = lacks, true
	n.do(SetLacking{lacks})
}

// lacks are the followed ranges but for what counts as had. What this node led it has
// until it follows the new leader.
func (n *Node) lacks() RangeSet {
	if len(n.follows) == 0 {
		return nil
	}
	var has []ring.Range
	for _, id := range n.inIDs() {
		if in := n.ins[id]; !in.doubted {
			has = append(has, in.have...)
		}
	}
	for _, f := range n.farewells {
		has = append(has, f.ranges...)
	}
	return n.follows.Minus(NewRangeSet(has))
}

// doubtInbound after a leap over epochs: others may have led in between what this node
// has from its leaders. They will say.
func (n *Node) doubtInbound() {
	for _, in := range n.ins {
		in.doubted = true
	}
}

// followedBy are the ranges that a member follows by the ring itself, as opposed to
// those that it is still to get.
func (r *Record) followedBy(id uint64) RangeSet {
	var set RangeSet
	if r.plan == nil {
		return nil
	}
	for _, a := range r.plan.arcs {
		for at, replica := range a.replicas {
			if at > 0 && replica == id {
				set = set.push(a.Range)
			}
		}
	}
	return set
}
