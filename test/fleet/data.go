package main

import (
	"slices"

	"gannet/replication"
	"gannet/ring"
)

// retarget tells all nodes what they are to have by a new ring: what they lead and
// follow, and what they will when its handoffs are done.
func (f *fleet) retarget(rec replication.Record) {
	if rec.Epoch() <= f.retargetAt {
		return
	}
	first := f.retargetAt == 0
	f.retargetAt = rec.Epoch()
	now, then := wanted(rec.Ring), wanted(rec.Target())
	lasting := then
	if rec.Target() == rec.Ring {
		lasting = wanted(allBack(rec.Ring))
	}
	for _, n := range f.nodes {
		id := n.member.ID
		n.todo, n.standIn = nil, nil
		m := rec.Ring.Member(id)
		if m == nil || !n.alive {
			continue
		}
		want := union(now[id], then[id])
		if m.State.Serves() {
			n.before = union(n.have, n.done) // for requests by the ring before
			n.have, n.done = intersection(n.before, want), nil
		} else {
			n.have, n.done = union(n.have, n.done), nil
		}
		if first {
			n.have = want // a fleet that has been serving for long
		}
		n.todo = without(intersection(want, lasting[id]), n.have)
		n.standIn = without(without(want, lasting[id]), n.have)
	}
	f.holdStandIns(rec)
}

// allBack is the ring with those that are down back in it.
func allBack(r *ring.Ring) *ring.Ring {
	spec := r.Spec()
	for i := range spec.Members {
		if s := &spec.Members[i].State; *s == ring.Down || *s == ring.Returning {
			*s = ring.Active
		}
	}
	back, err := ring.Build(spec)
	if err != nil {
		return r // of a valid ring's members another state is valid, too
	}
	return back
}

// holdStandIns has the copies for those that stand in for a member that is down wait
// until it has been away for long.
func (f *fleet) holdStandIns(rec replication.Record) {
	wait := int64(0)
	for _, m := range rec.Ring.Members() {
		if m.State == ring.Down || m.State == ring.Returning {
			wait = max(wait, f.byID[m.ID].diedAt+f.model.StandInNanos-f.queue.now)
		}
	}
	f.standInsWait = f.model.StandInNanos > 0 && wait > 0
	if f.standInsWait {
		f.queue.after(wait, func() {
			if f.retargetAt == rec.Epoch() {
				f.standInsWait = false
			}
		})
	}
}

func wanted(r *ring.Ring) map[uint64]spans {
	want := map[uint64]spans{}
	for g, ids := range r.Arcs() {
		for _, id := range ids {
			want[id] = want[id].push(g)
		}
	}
	return want
}

// copyTick moves what is to be moved: each node takes in at its rate, range by range,
// what will last first, and then the writes it missed.
func (f *fleet) copyTick() bool {
	budget := f.model.CopyBytesPerSecond * float64(f.model.TickNanos) / float64(second)
	moved := 0.0
	for _, n := range f.nodes {
		if n.alive {
			moved += n.take(budget)
		}
	}
	f.figures.MovedBytes += moved
	f.series.moved(f.queue.now, moved)
	return true
}

func (n *node) take(budget float64) (moved float64) {
	if n.idle() {
		n.carry = 0
		return 0
	}
	n.carry += budget
	moved = n.takeRanges(&n.todo)
	part := min(n.carry, n.missed)
	n.missed -= part
	n.carry -= part
	if len(n.todo) == 0 && !n.sim.standInsWait {
		moved += n.takeRanges(&n.standIn)
	}
	return moved + part
}

func (n *node) takeRanges(list *spans) (moved float64) {
	taken := 0
	for _, g := range *list {
		size := g.Share() * n.sim.model.DataBytes
		if size > n.carry {
			break
		}
		n.carry -= size
		moved += size
		taken++
	}
	if taken > 0 {
		n.done = union(n.done, slices.Clone((*list)[:taken]))
		*list = (*list)[taken:]
	}
	return moved
}

// idle tells whether there is nothing to take in.
func (n *node) idle() bool {
	return len(n.todo) == 0 && n.missed == 0 && (len(n.standIn) == 0 || n.sim.standInsWait)
}

// warm tells whether it has all that it will have for long by its newest ring.
func (n *node) warm() bool {
	return n.sim.retargetAt == n.record.Epoch() && len(n.todo) == 0 && n.missed == 0
}
