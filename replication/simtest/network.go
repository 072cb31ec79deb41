package simtest

import (
	"gannet/replication"
)

// network carries datagrams, which may be lost, doubled and overtaken, and streams,
// which are in order while they stand. Ways between two machines are cut one by one,
// each direction for itself.
type network struct {
	w    *world
	cut  map[[2]uint64]bool
	loss float64
	slow int64
	lag  map[uint64]int64    // by receiver: how much later all comes to it
	link map[[2]uint64]*link // lower id first
}

// etcdID names etcd among the ends of a way; clients have no cut ways.
const etcdID = uint64(0)

// link is a stream's connection between two machines.
type link struct {
	a, b       *machine
	up         bool
	stuck      bool // nothing arrives any more, and nobody knows yet
	generation uint64
	lastAt     map[uint64]int64 // by receiver: when the last message arrives
}

func newNetwork(w *world) *network {
	return &network{w: w, cut: map[[2]uint64]bool{}, lag: map[uint64]int64{}, loss: 0.001, link: map[[2]uint64]*link{}}
}

func (n *network) open(from, to uint64) bool { return !n.cut[[2]uint64{from, to}] }

func (n *network) both(a, b uint64) bool { return n.open(a, b) && n.open(b, a) }

func (n *network) setCut(a, b uint64, yes bool) {
	n.cut[[2]uint64{a, b}] = yes
	n.cut[[2]uint64{b, a}] = yes
}

func (n *network) delay() int64 {
	w := n.w
	d := w.between(50*microsecond, 400*microsecond) + n.slow
	if w.chance(0.01) {
		d += w.between(0, 20*millisecond)
	}
	return d
}

// datagram delivers once, never, or twice.
func (n *network) datagram(from, to uint64, deliver func()) {
	copies := 1
	if n.w.chance(n.loss) {
		copies = 0
	} else if n.w.chance(0.002) {
		copies = 2
	}
	for range copies {
		n.w.after(n.delay()+n.lag[to], func() {
			if n.open(from, to) {
				deliver()
			}
		})
	}
}

func (n *network) linkOf(a, b uint64) *link { return n.link[[2]uint64{min(a, b), max(a, b)}] }

// connectAll lets streams come up that can.
func (n *network) connectAll() {
	for i, a := range n.w.machines {
		for _, b := range n.w.machines[i+1:] {
			id := [2]uint64{a.id, b.id}
			l := n.link[id]
			if l == nil {
				l = &link{a: a, b: b}
				n.link[id] = l
			}
			able := a.answers() && b.answers() && n.both(a.id, b.id)
			if able && !l.up && n.w.chance(0.5) {
				n.connect(l)
			}
			if !able && l.up && n.w.chance(0.1) {
				n.disconnect(l)
			}
		}
	}
}

func (n *network) connect(l *link) {
	l.up, l.stuck = true, false
	l.generation++
	l.lastAt = map[uint64]int64{}
	l.a.event(replication.LinkUp{With: l.b.id})
	l.b.event(replication.LinkUp{With: l.a.id})
}

func (n *network) disconnect(l *link) {
	l.up = false
	l.generation++
	l.a.event(replication.LinkDown{With: l.b.id})
	l.b.event(replication.LinkDown{With: l.a.id})
}

// breakLinks ends the streams of a machine whose process died. Where the machine
// lives on and the way is open, the others see a reset.
func (n *network) breakLinks(m *machine, reset bool) {
	for _, other := range n.w.machines {
		if other == m {
			continue
		}
		if l := n.linkOf(m.id, other.id); l != nil && l.up {
			n.disconnect(l)
		}
		if reset && n.both(m.id, other.id) {
			n.w.after(n.delay(), func() { other.event(replication.Traced{Of: m.id, Sign: replication.ConnectionReset}) })
		}
	}
}

// stream sends in order over the link that stands, or not at all. What meets a cut
// way waits, until the link breaks.
func (n *network) stream(from, to uint64, deliver func()) {
	l := n.linkOf(from, to)
	if l == nil || !l.up || l.stuck {
		return
	}
	at := max(n.w.now+n.delay()+n.lag[to], l.lastAt[to]+1)
	l.lastAt[to] = at
	n.deliverStream(l, l.generation, from, to, at, deliver)
}

func (n *network) deliverStream(l *link, generation uint64, from, to uint64, at int64, deliver func()) {
	n.w.after(at-n.w.now, func() {
		switch {
		case l.generation != generation:
		case !n.open(from, to):
			n.breakSoon(l)
		default:
			deliver()
		}
	})
}

// breakSoon: a stream that lost something is dead; its ends notice later.
func (n *network) breakSoon(l *link) {
	if l.stuck {
		return
	}
	l.stuck = true
	l.generation++
	generation := l.generation
	n.w.after(n.w.between(0, 300*millisecond), func() {
		if l.generation == generation && l.up {
			n.disconnect(l)
		}
	})
}
