package transport

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"gannet/replication"
)

const (
	redialShortest = 20 * time.Millisecond
	redialLongest  = time.Second
	dialTimeout    = time.Second
)

// mesh keeps a link to each node of the ring. Of two nodes the one with the lower id
// dials.
type mesh struct {
	self uint64
	dial func(ctx context.Context, peer uint64) (net.Conn, error)
	post func(any) // into the driver's inbox
	log  *slog.Logger

	ctx     context.Context
	running sync.WaitGroup

	mu      sync.Mutex
	links   map[uint64]*link
	dialers map[uint64]context.CancelFunc
	closed  bool
}

func newMesh(ctx context.Context, self uint64, dial func(context.Context, uint64) (net.Conn, error), post func(any), log *slog.Logger) *mesh {
	return &mesh{
		self: self, dial: dial, post: post, log: log, ctx: ctx,
		links: map[uint64]*link{}, dialers: map[uint64]context.CancelFunc{},
	}
}

// follow keeps links to these nodes, and to no others.
func (m *mesh) follow(peers []uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	wanted := map[uint64]bool{}
	for _, id := range peers {
		wanted[id] = id != m.self
	}
	for id, cancel := range m.dialers {
		if !wanted[id] {
			cancel()
			delete(m.dialers, id)
		}
	}
	for id, l := range m.links {
		if !wanted[id] {
			l.close()
		}
	}
	for id, want := range wanted {
		if want && m.self < id && m.dialers[id] == nil && !m.closed {
			ctx, cancel := context.WithCancel(m.ctx)
			m.dialers[id] = cancel
			m.running.Go(func() { m.keepDialling(ctx, id) })
		}
	}
}

// keepDialling holds a link to a node, and makes another when it ends.
func (m *mesh) keepDialling(ctx context.Context, peer uint64) {
	pause := redialShortest
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, dialTimeout)
		conn, err := m.dial(attempt, peer)
		cancel()
		if err == nil {
			began := time.Now()
			_, err = m.serve(conn, peer, anybody)
			if time.Since(began) > redialLongest {
				pause = redialShortest
			}
		}
		if isReset(err) {
			m.post(replication.Traced{Of: peer, Sign: replication.ConnectionReset})
		}
		m.log.Debug("link to a member ended", "member", peer, "error", err)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		pause = min(2*pause, redialLongest)
	}
}

// accept serves a connection that another node dialled, until it ends.
func (m *mesh) accept(conn net.Conn, may func(peer uint64) bool) {
	peer, err := m.serve(conn, 0, may)
	m.log.Debug("link from a member ended", "member", peer, "error", err)
	m.mu.Lock()
	defer m.mu.Unlock()
	if peer != 0 && !m.closed && m.links[peer] == nil {
		m.running.Go(func() { m.knock(peer) })
	}
}

// knock finds out whether a node that dialled, and whose connection ended without a
// reset, is gone: its port says so on a machine that lives. Who dials knows anyway. It
// knocks more than once: a dying process may still listen when its connections have
// ended, and what was on its way from it makes the first sign look outdated.
func (m *mesh) knock(peer uint64) {
	for pause := redialShortest; pause <= redialLongest && !m.linked(peer); pause *= 2 {
		ctx, cancel := context.WithTimeout(m.ctx, dialTimeout)
		conn, err := m.dial(ctx, peer)
		cancel()
		switch {
		case err == nil:
			conn.Close()
		case isReset(err):
			m.post(replication.Traced{Of: peer, Sign: replication.ConnectionReset})
		}
		timer := time.NewTimer(pause)
		select {
		case <-m.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func anybody(uint64) bool { return true }

// serve runs a link until it ends. It closes conn.
func (m *mesh) serve(conn net.Conn, want uint64, may func(peer uint64) bool) (peer uint64, err error) {
	defer conn.Close()
	if peer, err = greet(conn, m.self, want); err != nil {
		return 0, err
	}
	if !may(peer) {
		return 0, ErrImpostor
	}
	l := newLink(peer, conn)
	if !m.register(l) {
		return 0, net.ErrClosed
	}
	stop := context.AfterFunc(m.ctx, l.close)
	defer stop()
	var writing sync.WaitGroup
	writing.Go(l.write)
	err = l.read(func(msg replication.Message) { m.post(fromLink{l, msg}) })
	l.close()
	writing.Wait()
	m.unregister(l)
	if isReset(err) && want == 0 {
		m.post(replication.Traced{Of: peer, Sign: replication.ConnectionReset})
	}
	return peer, err
}

// fromLink is a message with the link it came over: one of an earlier link is dropped
// by the driver.
type fromLink struct {
	link *link
	msg  replication.Message
}

// register makes a link the one to its peer. An older one ends.
func (m *mesh) register(l *link) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	if old := m.links[l.peer]; old != nil {
		old.close()
		m.post(linkDown{old})
	}
	m.links[l.peer] = l
	m.post(linkUp{l})
	return true
}

func (m *mesh) unregister(l *link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.links[l.peer] == l {
		delete(m.links, l.peer)
		m.post(linkDown{l})
	}
}

type (
	linkUp   struct{ link *link }
	linkDown struct{ link *link }
)

// send sends a message to a node. Without a link it is dropped: what must arrive is
// said again.
func (m *mesh) send(to uint64, msg replication.Message) {
	m.mu.Lock()
	l := m.links[to]
	m.mu.Unlock()
	if l != nil {
		l.send(replication.AppendMessage(nil, msg))
	}
}

// linked says whether there is a link to a node.
func (m *mesh) linked(peer uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.links[peer] != nil
}

// count is the number of links.
func (m *mesh) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.links)
}

// close ends all links and waits for their goroutines.
func (m *mesh) close() {
	m.mu.Lock()
	m.closed = true
	for _, cancel := range m.dialers {
		cancel()
	}
	for _, l := range m.links {
		l.close()
	}
	m.mu.Unlock()
	m.running.Wait()
}

// isCurrent says whether a link is the one to its peer.
func (m *mesh) isCurrent(l *link) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.links[l.peer] == l
}
