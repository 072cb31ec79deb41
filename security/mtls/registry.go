package mtls

import (
	"crypto/x509"
	"errors"
	"net"
	"sync"
	"time"
)

// registry lists the open connections.
type registry struct {
	mu    sync.Mutex
	peers map[*peer]struct{} // guarded by mu

	sweeping sync.Mutex // one sweep at a time
}

// peer is one open connection and what it was let in by. Only the sweep writes to it
// after it was listed.
type peer struct {
	net.Conn // below TLS: closing it waits for nobody

	store *Store
	chain []*x509.Certificate
	want  *expectation

	generation uint64    // of the files it was verified against
	until      time.Time // when the first certificate of its chain ends
}

// Close closes the connection and takes it off the list.
func (p *peer) Close() error {
	p.store.open.remove(p)
	return p.Conn.Close()
}

func (r *registry) add(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.peers == nil {
		r.peers = map[*peer]struct{}{}
	}
	r.peers[p] = struct{}{}
}

func (r *registry) remove(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.peers, p)
}

func (r *registry) list() []*peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	peers := make([]*peer, 0, len(r.peers))
	for p := range r.peers {
		peers = append(peers, p)
	}
	return peers
}

func (r *registry) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.peers)
}

// admit verifies a connection after its handshake and lists it.
func (s *Store) admit(p *peer, chain []*x509.Certificate, want *expectation) error {
	m := s.current.Load()
	until, err := m.verify(s.now(), chain, want)
	if err != nil {
		return err
	}
	p.chain, p.want, p.generation, p.until = chain, want, m.generation, until
	s.open.add(p)
	return nil
}

// Sweep verifies every open connection again that new files or the time may have
// made unwelcome, and cuts those off that are.
func (s *Store) Sweep() {
	s.open.sweeping.Lock()
	defer s.open.sweeping.Unlock()
	m, now := s.current.Load(), s.now()
	for _, p := range s.open.list() {
		if p.generation == m.generation && !now.After(p.until) {
			continue
		}
		until, err := m.verify(now, p.chain, p.want)
		if err == nil {
			p.generation, p.until = m.generation, until
			continue
		}
		var reason *PeerError
		if errors.As(err, &reason) {
			s.counts.closed[reason.Reason].Add(1)
		}
		s.log.Warn("connection cut off", "peer", p.RemoteAddr(), "error", err)
		_ = p.Close() // it is gone either way
	}
}
