package client

import "gannet/ring"

// maxReplicas bounds how many nodes hold a key, as far as the client asks them.
const maxReplicas = 4

// routes is what the client knows of the cluster: a ring, and a node for each of its
// members. It does not change; a newer ring makes another one.
type routes struct {
	ring       *ring.Ring // nil: the node that answered has none, and is asked for every key
	only       *node      // without a ring
	nodes      map[uint64]*node
	superseded chan struct{} // closed when there are newer routes
}

// epoch is the ring's; 0 without one.
func (r *routes) epoch() uint32 {
	if r.ring == nil {
		return 0
	}
	return r.ring.Epoch()
}

// leader is the node that takes a key's writes.
func (r *routes) leader(hash uint64) *node {
	if r.ring == nil {
		return r.only
	}
	if m := r.ring.Owner(hash); m != nil {
		return r.nodes[m.ID]
	}
	return nil
}

// replicas puts the nodes that hold a key into dst, the leader first, and returns
// how many there are.
func (r *routes) replicas(hash uint64, dst *[maxReplicas]*node) int {
	if r.ring == nil {
		dst[0] = r.only
		return 1
	}
	var room [maxReplicas]*ring.Member
	n := 0
	for _, m := range r.ring.Replicas(hash, room[:0]) {
		if n < len(dst) {
			dst[n] = r.nodes[m.ID]
			n++
		}
	}
	return n
}

// leads says whether a node is the key's leader.
func (r *routes) leads(n *node, hash uint64) bool { return r.leader(hash) == n }

// holds says whether a node is one of the key's replicas.
func (r *routes) holds(n *node, hash uint64) bool {
	var room [maxReplicas]*node
	for _, replica := range room[:r.replicas(hash, &room)] {
		if replica == n {
			return true
		}
	}
	return false
}

// install makes a ring the one that calls are routed by, unless it is older than
// the one that is. Nodes are kept from ring to ring, with their sockets and what was
// learned about them.
func (c *Client) install(r *ring.Ring) {
	c.routing.Lock()
	defer c.routing.Unlock()
	before := c.routes.Load()
	if before != nil && before.ring != nil && before.ring.Epoch() >= r.Epoch() {
		return
	}
	next := &routes{ring: r, nodes: make(map[uint64]*node, len(r.Members())), superseded: make(chan struct{})}
	for i := range r.Members() {
		m := &r.Members()[i]
		next.nodes[m.ID] = c.nodeOf(m, before)
	}
	c.swapRoutes(before, next)
}

// settleFor makes a node without a ring the one that is asked for every key.
func (c *Client) settleFor(n *node) {
	c.routing.Lock()
	defer c.routing.Unlock()
	before := c.routes.Load()
	if before != nil {
		return // a ring came meanwhile, or another call settled
	}
	c.swapRoutes(nil, &routes{only: n, superseded: make(chan struct{})})
}

func (c *Client) swapRoutes(before, next *routes) {
	c.routes.Store(next)
	if c.listener != nil {
		c.listener.reroute()
	}
	if before == nil {
		return
	}
	close(before.superseded)
	for id, n := range before.nodes {
		if next.nodes[id] != n && !n.isSeed {
			n.retire()
		}
	}
}

// nodeOf finds the node for a member. A server given to Open is asked under the
// address it was given by: what members call each other may mean nothing here.
func (c *Client) nodeOf(m *ring.Member, before *routes) *node {
	for _, seed := range c.seeds {
		if info := seed.info.Load(); info != nil && info.NodeID == m.ID || seed.addr == m.Addr {
			return seed
		}
	}
	if before != nil {
		if n := before.nodes[m.ID]; n != nil && n.addr == m.Addr {
			return n
		}
	}
	return newNode(c, m.Name, m.Addr)
}
