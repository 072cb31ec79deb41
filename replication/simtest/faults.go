package simtest

import "gannet/replication"

// chaos lets something go wrong now and then until a time; what it breaks it mends.
func (w *world) chaos(until int64) {
	w.after(w.between(200*millisecond, 1500*millisecond), func() {
		if w.now >= until {
			return
		}
		w.strike()
		w.chaos(until)
	})
}

func (w *world) pick() *machine { return w.machines[w.rng.IntN(len(w.machines))] }

func (w *world) strike() {
	m := w.pick()
	switch w.rng.IntN(19) {
	case 0:
		w.kill(m, false, false)
	case 1:
		w.kill(m, false, true)
	case 2:
		w.kill(m, true, true)
	case 3, 4:
		m.pause(true, w.between(100*millisecond, 3*second))
	case 5:
		m.pause(false, w.between(100*millisecond, 2*second))
	case 6:
		w.isolate([]*machine{m}, w.chance(0.6), w.between(200*millisecond, 4*second))
	case 7:
		w.isolate([]*machine{m, w.pick()}, w.chance(0.6), w.between(200*millisecond, 4*second))
	case 8:
		w.cutPair(m, w.pick())
	case 9, 10:
		w.stopEtcd(w.between(200*millisecond, 4*second))
	case 11:
		w.cutFor(m.id, etcdID, w.between(200*millisecond, 4*second))
	case 12:
		w.badNetwork()
	case 13:
		m.offset += w.between(0, 2*second)
		w.note("jump", m.id)
	case 14:
		m.stall(w.between(200*millisecond, 2*second))
		w.note("stall", m.id)
	case 15:
		w.restartControl(m)
	case 16:
		w.lesser(m)
	case 17, 18:
		w.lagBehind(m)
	}
}

func (w *world) lesser(m *machine) {
	if w.chance(0.5) {
		m.restartData(w.between(50*millisecond, 1500*millisecond))
		return
	}
	m.want(true)
	w.after(w.between(second, 5*second), func() { m.want(false) })
}

func (m *machine) want(leave bool) {
	m.leave = leave
	m.w.note("want", m.id)
	m.event(replication.Want{Leave: leave})
}

// kill ends both processes, or the machine, and starts it again with or without its
// memory.
func (w *world) kill(m *machine, powerOff, cold bool) {
	if !m.running || !m.powered {
		return
	}
	m.die(powerOff)
	if cold {
		w.check.wiped[m.id] = w.now
		m.dp.wipe()
		m.remembered = nil
	}
	life := m.life
	w.after(w.between(100*millisecond, 4*second), func() {
		if m.life == life {
			m.boot(cold)
		}
	})
}

func (w *world) restartControl(m *machine) {
	if !m.running || !m.dp.running {
		return
	}
	w.note("control dies", m.id)
	m.stopControl(true)
	life := m.life
	w.after(w.between(100*millisecond, 2*second), func() {
		if m.life == life && m.powered {
			if m.frozen {
				m.thaw()
			}
			m.startControl(false)
		}
	})
}

// isolate cuts machines off from all others, and perhaps from etcd.
func (w *world) isolate(group []*machine, etcdToo bool, howLong int64) {
	w.note("isolate", group[0].id, uint64(len(group)))
	inside := map[uint64]bool{}
	for _, m := range group {
		inside[m.id] = true
	}
	for _, m := range group {
		for _, other := range w.machines {
			if !inside[other.id] {
				w.cutFor(m.id, other.id, howLong)
			}
		}
		if etcdToo {
			w.cutFor(m.id, etcdID, howLong)
		}
	}
}

func (w *world) cutPair(a, b *machine) {
	if a == b {
		return
	}
	howLong := w.between(200*millisecond, 3*second)
	if w.chance(0.5) {
		w.cutFor(a.id, b.id, howLong)
		return
	}
	way := [2]uint64{a.id, b.id}
	w.net.cut[way] = true
	w.after(howLong, func() { w.net.cut[way] = false })
}

func (w *world) cutFor(a, b uint64, howLong int64) {
	w.net.setCut(a, b, true)
	w.after(howLong, func() { w.net.setCut(a, b, false) })
}

func (w *world) stopEtcd(howLong int64) {
	w.note("etcd stops", uint64(howLong))
	w.etcd.up = false
	w.after(howLong, func() { w.etcd.up = true })
}

// lagBehind lets everything from the other machines and from etcd come late to one:
// to its clients it looks as ever.
func (w *world) lagBehind(m *machine) {
	w.note("lag", m.id)
	w.net.lag[m.id] = w.between(100*millisecond, 2500*millisecond)
	w.after(w.between(500*millisecond, 4*second), func() { delete(w.net.lag, m.id) })
}

func (w *world) badNetwork() {
	w.note("bad network")
	w.net.loss, w.net.slow = 0.3*w.rng.Float64(), w.between(0, 20*millisecond)
	w.after(w.between(200*millisecond, 2*second), w.goodNetwork)
}

func (w *world) goodNetwork() { w.net.loss, w.net.slow = 0.001, 0 }

// heal mends everything.
func (w *world) heal() {
	w.calm = true
	w.note("heal")
	w.etcd.up = true
	w.goodNetwork()
	clear(w.net.cut)
	clear(w.net.lag)
	for _, m := range w.machines {
		if m.leave {
			m.want(false)
		}
	}
}
