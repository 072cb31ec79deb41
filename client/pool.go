package client

import (
	"net/netip"
	"sync"
)

// retiredSockets is how many replaced sockets stay open for late replies.
const retiredSockets = 4

// pool holds the sockets to one shard, a few source ports.
type pool struct {
	node *node
	addr netip.AddrPort

	load   gauge  // of the shard, as it was last reported
	spread spread // of its reads that go elsewhere
	turns  [spreadSets]turns

	mu      sync.Mutex
	learner learner // guarded by mu
	closed  bool    // guarded by mu
	conns   []*conn // guarded by mu; nil = to be opened at its next turn
	retired []*conn // guarded by mu; oldest first
}

func (p *pool) init(n *node, shard uint16, addr netip.AddrPort) {
	p.node, p.addr = n, addr
	slots := n.client.settings.sourcePorts
	p.learner = newLearner(shard, slots)
	p.conns = make([]*conn, slots)
}

// pick returns the socket for the next request.
func (p *pool) pick() (*conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errReshaped
	}
	slot := p.learner.pick()
	if k := p.conns[slot]; k != nil {
		return k, nil
	}
	k, err := p.node.dial(p.addr, p, slot)
	if err != nil {
		return nil, err
	}
	p.conns[slot] = k
	return k, nil
}

// learn takes in the rx queue of a socket's requests. A socket that does not fit
// gives way to another source port; it stays open a while for replies under way.
func (p *pool) learn(k *conn, queue uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[k.slot] != k || !p.learner.learn(k.slot, queue) {
		return
	}
	p.conns[k.slot] = nil
	p.retired = append(p.retired, k)
	if len(p.retired) > retiredSockets {
		p.retired[0].udp.Close()
		p.retired = append(p.retired[:0], p.retired[1:]...)
	}
}

// close closes all sockets, for good.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, k := range append(p.retired, p.conns...) {
		if k != nil {
			k.udp.Close()
		}
	}
	clear(p.conns)
	p.retired = nil
}
