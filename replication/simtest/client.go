package simtest

import (
	"gannet/ring"
)

// client writes and reads with minimum-version tokens.
type client struct {
	w      *world
	id     int
	ring   *ring.Ring
	old    *ring.Ring // the one before
	tokens map[*key]uint64
	asked  uint64
	quiet  bool // no more requests
	oks    int
}

func newClient(w *world, id int) *client {
	c := &client{w: w, id: id, tokens: map[*key]uint64{}}
	c.next()
	return c
}

func (c *client) next() {
	c.w.after(c.w.between(3*millisecond, 12*millisecond), func() {
		if !c.quiet {
			c.request()
		}
		c.next()
	})
}

func (c *client) request() {
	w := c.w
	k := w.keys[w.rng.IntN(len(w.keys))]
	if w.calm {
		k = w.keys[w.rng.IntN(len(w.keys)/2)] // the others show what the faults left behind
	}
	if c.ring == nil {
		c.learn()
		return
	}
	known := c.ring
	if c.old != nil && w.chance(0.15) {
		known = c.old // some part of a client is always the last to know
	}
	replicas := known.Replicas(k.hash, nil)
	if len(replicas) == 0 {
		c.learn()
		return
	}
	c.asked++
	asked := c.asked
	answered := false
	answer := func(r reply) {
		w.after(w.net.delay(), func() {
			answered = true
			c.take(k, r)
		})
	}
	draw := w.rng.IntN(100)
	to := replicas[0].ID
	if draw >= 50 {
		to = replicas[w.rng.IntN(len(replicas))].ID
	}
	w.after(w.net.delay(), func() { c.arrive(w.byID[to], k, draw, answer) })
	w.after(100*millisecond, func() {
		if !answered && c.asked >= asked {
			c.learn()
		}
	})
}

// arrive is the request at the machine.
func (c *client) arrive(m *machine, k *key, draw int, answer func(reply)) {
	if m == nil || !m.powered {
		return
	}
	w, minimum := c.w, c.tokens[k]
	m.serve(func() {
		switch {
		case draw < 32:
			m.dp.write(k, false, false, answer)
		case draw < 36:
			m.dp.write(k, false, true, answer)
		case draw < 50:
			m.dp.write(k, true, false, answer)
		default:
			r := m.dp.read(k, minimum)
			if r.status == statusOK {
				w.check.read(m, k, minimum, r.version)
			}
			if r.status == statusOK || r.status == statusMiss {
				w.check.answered(m, k)
			}
			answer(r)
		}
	})
}

// take looks at a reply; those of an older ring than the client's do not count.
func (c *client) take(k *key, r reply) {
	if r.ring != nil && (c.ring == nil || r.ring.Epoch() > c.ring.Epoch()) {
		c.old, c.ring = c.ring, r.ring
	}
	if r.ring == nil || c.ring != nil && r.ring.Epoch() < c.ring.Epoch() {
		return
	}
	if r.status == statusOK {
		c.oks++
		c.tokens[k] = max(c.tokens[k], r.version)
	}
}

// learn asks any machine for its ring.
func (c *client) learn() {
	m := c.w.machines[c.w.rng.IntN(len(c.w.machines))]
	if m.powered && m.dp.running && m.dp.ring != nil && (c.ring == nil || m.dp.ring.Epoch() > c.ring.Epoch()) {
		c.old, c.ring = c.ring, m.dp.ring
	}
}
