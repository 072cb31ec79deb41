package replication

import (
	"slices"

	"gannet/ring"
)

// reporting keeps the controller informed.
type reporting struct {
	number  uint64
	at      int64 // patient
	changed bool
	warm    bool
}

const (
	reportUrgent = 50 * millisecond
	reportIdle   = 500 * millisecond
)

// tellController reports what is new at once, what is pressing often, and all now and
// then: reports are lost, and controllers change.
func (n *Node) tellController() {
	r := &n.report
	warm := n.warm()
	r.changed = n.revise() || r.changed || warm != r.warm
	r.warm = warm
	every := reportIdle
	if len(n.promises.accused) > 0 || n.wish() != WishNone {
		every = reportUrgent
	}
	if !r.changed && n.patient-r.at < every && r.at != 0 {
		return
	}
	r.changed, r.at = false, n.patient
	r.number++
	n.send(0, ToController, Report{
		From: n.self, Life: n.life, Number: r.number, Epoch: n.rec.Epoch(),
		Accused: n.accusations(), Wish: n.wish(), Warm: r.warm,
	})
}

// accusations are those of the ring's epoch; before a process knows the ring it may
// still be bound by those of one it has forgotten.
func (n *Node) accusations() []Accusation {
	if n.promises.epoch != n.rec.Epoch() {
		return nil
	}
	return slices.Clone(n.promises.accused)
}

// wish is what the node wants to be, given what it is.
func (n *Node) wish() Wish {
	s, there := n.state()
	switch {
	case there && n.serves() && n.promises.resigned == n.rec.Epoch():
		return WishResign
	case n.leave && there && s != ring.Down:
		return WishLeave
	case !n.leave && n.dataUp && n.downOrGone():
		return WishJoin
	}
	return WishNone
}

// revise takes down which of the accused are heard again.
func (n *Node) revise() (changed bool) {
	for i := range n.promises.accused {
		a := &n.promises.accused[i]
		p := n.peer(a.Suspect)
		alive := p.traced == [traces]int64{} && n.patient-slices.Min(p.heard[:]) <= n.cfg.SilenceNanos/2
		changed = changed || alive != a.Alive
		a.Alive = alive
	}
	return changed
}
