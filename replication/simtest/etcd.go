package simtest

import (
	"slices"

	"gannet/replication"
	"gannet/replication/internal/plant"
	"gannet/ring"
)

// etcd is a linearizable store of one ring and of leases, which can stop.
type etcd struct {
	w        *world
	up       bool
	rec      replication.Record
	revision int64
	leases   map[uint64]int64 // by member: when it lapses
	leader   uint64           // the elected controller
	commits  []commit
}

type commit struct {
	rec replication.Record
	at  int64
}

const leaseNanos = 2 * second

func newEtcd(w *world) *etcd {
	e := &etcd{w: w, up: true, revision: 1, leases: map[uint64]int64{}}
	w.every(100*millisecond, e.elect)
	return e
}

// call is a request of a machine: it arrives or not, and so does its answer.
func (e *etcd) call(m *machine, ask func() (answer func())) {
	life := m.life
	e.w.after(e.w.net.delay(), func() {
		if !e.up || !e.w.net.open(m.id, etcdID) || e.w.chance(e.w.net.loss) {
			return
		}
		answer := ask()
		e.w.after(e.w.net.delay()+e.w.net.lag[m.id], func() {
			if e.w.net.open(etcdID, m.id) && m.life == life {
				answer()
			}
		})
	})
}

func (e *etcd) keepLease(m *machine) {
	e.call(m, func() func() {
		e.leases[m.id] = e.w.now + leaseNanos
		list := e.registered()
		leads := e.leader == m.id
		return func() {
			m.controllerEvent(replication.Elected{Yes: leads})
			m.controllerEvent(replication.Registered{Members: list})
		}
	})
}

func (e *etcd) registered() []replication.Registration {
	var list []replication.Registration
	for _, m := range e.w.machines {
		if e.leases[m.id] > e.w.now {
			list = append(list, replication.Registration{Member: m.member})
		}
	}
	return list
}

// elect: the election follows the leases; the loser learns of it when it asks.
func (e *etcd) elect() {
	if !e.up || e.leases[e.leader] > e.w.now {
		return
	}
	var candidates []uint64
	for _, m := range e.w.machines {
		if e.leases[m.id] > e.w.now {
			candidates = append(candidates, m.id)
		}
	}
	if len(candidates) > 0 {
		e.leader = candidates[e.w.rng.IntN(len(candidates))]
		e.w.note("elected", e.leader)
	}
}

func (e *etcd) read(m *machine) {
	e.call(m, func() func() {
		rec := e.rec
		return func() {
			ev := replication.RecordSeen{Record: rec, Linear: true}
			m.event(ev)
			m.controllerEvent(ev)
		}
	})
}

// renew answers whether the ring is still that of the revision.
func (e *etcd) renew(m *machine, revision int64) {
	sent := m.local()
	e.call(m, func() func() {
		good := e.rec.Revision == revision
		return func() {
			if good {
				m.event(replication.Renewed{Revision: revision, SentNanos: sent})
			} else {
				m.event(replication.RenewRefused{Revision: revision})
			}
		}
	})
}

func (e *etcd) swap(m *machine, rec replication.Record) {
	e.call(m, func() func() {
		good := e.rec.Revision == rec.Revision || e.w.fault == plant.BlindSwap
		if good {
			e.commit(rec)
		}
		now := e.rec
		return func() {
			m.controllerEvent(replication.Swapped{Done: good})
			m.controllerEvent(replication.RecordSeen{Record: now, Linear: true})
			m.event(replication.RecordSeen{Record: now, Linear: true})
		}
	})
}

func (e *etcd) commit(rec replication.Record) {
	e.revision++
	e.w.check.committed(e.rec, rec)
	rec.Revision = e.revision
	e.rec = rec
	e.commits = append(e.commits, commit{rec, e.w.now})
	states := []uint64{uint64(rec.Epoch())}
	for _, m := range rec.Ring.Members() {
		states = append(states, m.ID, uint64(m.State))
	}
	e.w.note("ring", states...)
	for _, m := range e.w.machines {
		e.watch(m, rec)
	}
}

// watch brings news, mostly soon, sometimes late, sometimes never.
func (e *etcd) watch(m *machine, rec replication.Record) {
	delay := e.w.net.delay() + e.w.net.lag[m.id]
	switch {
	case e.w.chance(0.05):
		return
	case e.w.chance(0.1):
		delay += e.w.between(0, second)
	}
	e.w.after(delay, func() {
		if e.up && e.w.net.open(etcdID, m.id) {
			m.event(replication.RecordSeen{Record: rec})
			m.controllerEvent(replication.RecordSeen{Record: rec})
		}
	})
}

func (e *etcd) allActive() bool {
	return e.rec.Ring != nil && !slices.ContainsFunc(e.rec.Ring.Members(), func(m ring.Member) bool { return m.State != ring.Active })
}
