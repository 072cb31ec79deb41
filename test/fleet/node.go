package main

import (
	"slices"

	"gannet/replication"
	"gannet/ring"
)

// node is a modelled node: the items it holds as key ranges, and what it reports.
type node struct {
	sim    *fleet
	member ring.Member
	alive  bool
	life   uint64 // of its processes
	diedAt int64

	record     replication.Record
	ring       *ring.Ring // the data plane's
	resign     bool       // it wants to be down
	restarting bool       // it stops in a moment, or will be back in one

	have, done spans // items; done came since the last ring
	before     spans // what it had under the ring before
	todo       spans // items it is to have and lacks
	standIn    spans // the same, for as long as somebody else is down
	carry      float64
	missed     float64 // bytes written while it was away and its items stayed good

	silentSince map[uint64]int64 // members that it heard last then
	reports     uint64
	said        replication.Report
	saidAt      int64
	goesDown    func() // called when the newest ring says that it is down
}

// start brings the process up, with its items when they are still good.
func (n *node) start(itemsLost bool) {
	m := &n.sim.model
	away := n.sim.queue.now - n.diedAt
	if n.life == 0 || itemsLost || away > m.TombstoneNanos {
		n.have, n.done, n.before = nil, nil, nil
	} else {
		n.missed = m.WritesPerSecond * 1024 * float64(away) / float64(second) * n.have.share()
	}
	n.alive, n.restarting = true, false
	n.life++
	life := n.life
	n.sim.etcd.count(opRegister)
	n.sim.queue.after(m.EtcdWriteNanos+m.MemberWatchNanos, n.sim.brainRegisters)
	here := func() bool { return n.alive && n.life == life }
	n.sim.queue.every(n.sim.random.Int64N(m.KeepAliveNanos), m.KeepAliveNanos, func() bool {
		if here() {
			n.sim.etcd.count(opKeepAlive)
		}
		return here()
	})
	renew := n.sim.rules.RenewNanos
	n.sim.queue.every(n.sim.random.Int64N(renew), renew, func() bool {
		if here() && n.serves() {
			n.sim.etcd.count(opRenew)
		}
		return here()
	})
	n.sim.queue.every(n.sim.random.Int64N(m.TickNanos), m.TickNanos, func() bool {
		if here() {
			n.tick()
		}
		return here()
	})
	if n.sim.etcd.record.Ring != nil { // what the watch begins with
		record := n.sim.etcd.record
		n.sim.queue.after(m.EtcdReadNanos, func() { n.sees(record) })
	}
}

// stop ends the process.
func (n *node) stop() {
	n.alive, n.resign, n.diedAt = false, false, n.sim.queue.now
	n.ring, n.record = nil, replication.Record{}
	n.said = replication.Report{}
	n.silentSince = map[uint64]int64{}
	n.have, n.done, n.todo, n.standIn, n.missed = union(n.have, n.done), nil, nil, nil, 0
}

func (n *node) serves() bool {
	m := n.inRing()
	return m != nil && m.State.Serves()
}

func (n *node) inRing() *ring.Member {
	if n.record.Ring == nil {
		return nil
	}
	return n.record.Ring.Member(n.member.ID)
}

// sees is etcd's watch.
func (n *node) sees(rec replication.Record) {
	life := n.life
	n.sim.queue.after(n.sim.model.DecodeNanos, func() {
		if !n.alive || n.life != life || rec.Epoch() <= n.record.Epoch() {
			return
		}
		n.record, n.ring = rec, rec.Ring
		n.sim.pushRing(n)
		if m := n.inRing(); m != nil && m.State == ring.Down && n.goesDown != nil {
			down := n.goesDown
			n.goesDown = nil
			down()
		}
	})
}

// lost tells the node that a member fell silent. What it heard last of it was up to a
// round of probes ago.
func (n *node) lost(id uint64) {
	probes := min(max(n.sim.rules.ProbeNanos, int64(len(n.sim.nodes))*millisecond/2), n.sim.rules.SilenceNanos/5)
	n.silentSince[id] = n.sim.queue.now - n.sim.random.Int64N(probes)
}

func (n *node) heardAgain(id uint64) { delete(n.silentSince, id) }

// tick reports what is new, and now and then what is not.
func (n *node) tick() {
	now := n.sim.queue.now
	r := replication.Report{
		From: n.member.ID, Life: n.life, Epoch: n.record.Epoch(), Wish: n.wish(), Accused: n.accusations(), Warm: n.warm(),
	}
	news := r.Epoch != n.said.Epoch || r.Wish != n.said.Wish || r.Warm != n.said.Warm || !slices.Equal(r.Accused, n.said.Accused)
	every := n.sim.model.ReportNanos
	if len(r.Accused) > 0 || r.Wish != replication.WishNone {
		every = n.sim.model.UrgentNanos
	}
	if !news && now-n.saidAt < every {
		return
	}
	n.said, n.saidAt = r, now
	n.reports++
	r.Number = n.reports
	n.sim.queue.after(n.sim.hop(), func() { n.sim.brainHears(r) })
}

func (n *node) wish() replication.Wish {
	switch m := n.inRing(); {
	case m == nil || m.State == ring.Down:
		return replication.WishJoin
	case n.resign && m.State.Serves():
		return replication.WishResign
	}
	return replication.WishNone
}

// accusations are of members that serve by the ring the node knows.
func (n *node) accusations() []replication.Accusation {
	if n.sim.failedAt == 0 || !n.serves() {
		return nil
	}
	var list []replication.Accusation
	members := n.record.Ring.Members()
	for i := range members {
		since, silent := n.silentSince[members[i].ID]
		if silent && members[i].State.Serves() && n.sim.queue.now-since >= n.sim.rules.SilenceNanos {
			list = append(list, replication.Accusation{Suspect: members[i].ID, Sign: replication.Silence})
		}
	}
	return list
}

func (n *node) holds(hash uint64) bool {
	return n.have.contains(hash) || n.done.contains(hash) || n.before.contains(hash)
}
