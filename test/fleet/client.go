package main

import (
	"gannet/replication"
	"gannet/ring"
)

// kind is the way in which a client learns of rings.
type kind int

const (
	byWatch   kind = iota // etcd's watch
	byPush                // the control port of one node pushes it
	byReplies             // replies show a newer epoch; it asks the node that answered
	byAll
	kinds
)

var kindNames = [kinds]string{"etcd's watch alone", "a control port alone", "replies alone", "all three"}

// client is an application's client: it routes by its ring and retries once.
type client struct {
	sim      *fleet
	kind     kind
	ring     *ring.Ring
	home     *node // of its control connection
	fetching uint32
	armed    uint64 // number of the timer that counts
	set      []*ring.Member
}

func (f *fleet) addClient(k kind) {
	c := &client{sim: f, kind: k, set: make([]*ring.Member, 0, ring.MaxReplicas)}
	f.clients = append(f.clients, c)
	if k == byWatch || k == byAll {
		f.etcd.watchers = append(f.etcd.watchers, func(rec replication.Record) { c.adoptSoon(rec.Ring) })
	}
}

func (c *client) epoch() uint32 {
	if c.ring == nil {
		return 0
	}
	return c.ring.Epoch()
}

// adoptSoon takes a ring whose bytes have just come.
func (c *client) adoptSoon(r *ring.Ring) {
	c.sim.queue.after(c.sim.model.DecodeNanos, func() { c.adopt(r) })
}

func (c *client) adopt(r *ring.Ring) {
	if r.Epoch() <= c.epoch() {
		return
	}
	for epoch := c.epoch() + 1; epoch <= r.Epoch(); epoch++ {
		c.sim.figures.converged(c.kind, c.sim.queue.now-c.sim.commitAt[epoch])
	}
	if c.ring = r; c.epoch() == c.sim.etcd.record.Epoch() {
		c.sim.behind--
	}
}

// pushRing is a node's control port telling its subscribers.
func (f *fleet) pushRing(n *node) {
	for _, c := range f.clients {
		if c.home == n {
			r := n.ring
			f.queue.after(f.hop(), func() { c.adoptSoon(r) })
		}
	}
}

// connect chooses a living node for the control connection, and takes its ring.
func (c *client) connect() {
	if c.kind != byPush && c.kind != byAll || c.home != nil && c.home.alive {
		return
	}
	for range 100 {
		n := c.sim.nodes[c.sim.random.IntN(len(c.sim.nodes))]
		if n.alive && n.ring != nil {
			c.home = n
			c.adoptSoon(n.ring)
			return
		}
	}
}

// wakeClients makes the clients send at their full rate while anything is going on.
func (f *fleet) wakeClients() {
	for _, c := range f.clients {
		c.arm()
	}
}

// arm sets the next request's time. In calm times a client sends little, and each
// request counts for many.
func (c *client) arm() {
	c.armed++
	number, rate, weight := c.armed, c.sim.model.RequestsPerSecond, 1.0
	if !c.sim.busy() {
		rate, weight = rate/calm, calm
	}
	c.sim.queue.after(int64(c.sim.random.ExpFloat64()*float64(second)/rate), func() {
		if c.armed == number {
			c.request(weight)
			c.arm()
		}
	})
}

const calm = 200.0

// request reads a random key: at its leader, and if that does not answer for it, at
// the next replica.
func (c *client) request(weight float64) {
	c.connect()
	if c.ring == nil {
		return
	}
	hash := c.sim.random.Uint64()
	c.set = c.ring.Replicas(hash, c.set[:0])
	for try, m := range c.set[:min(2, len(c.set))] {
		n := c.sim.byID[m.ID]
		if !n.alive || n.ring == nil {
			c.sim.tally.timeouts += weight
			continue
		}
		c.learn(n)
		if !n.ring.Holds(m.ID, hash) {
			c.sim.tally.moved += weight
			continue
		}
		c.sim.answered(weight, try, n.holds(hash))
		return
	}
	c.sim.answered(weight, 2, false)
}

// learn reads the epoch in a reply, and asks its sender's control port for a newer
// ring.
func (c *client) learn(n *node) {
	if c.kind != byReplies && c.kind != byAll || n.ring.Epoch() <= max(c.epoch(), c.fetching) {
		return
	}
	r := n.ring
	c.fetching = r.Epoch()
	c.sim.queue.after(4*c.sim.hop(), func() { c.adoptSoon(r) })
}
