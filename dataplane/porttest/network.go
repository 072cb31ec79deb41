package porttest

import "gannet/dataplane/port"

// Inject lets a datagram arrive. False when it is lost, as a network card would
// lose it: no frame lent to the wire, or the datagram longer than a frame. The
// loss is counted. Safe to call from any goroutine.
func (m *Memory) Inject(payload []byte, from port.Addr) bool {
	return m.InjectTo(payload, from, m.opt.LocalPort)
}

// InjectTo is Inject to another local port.
func (m *Memory) InjectTo(payload []byte, from port.Addr, localPort uint16) bool {
	m.mu.Lock()
	ok := m.arrive(payload, from, localPort)
	m.mu.Unlock()
	if ok {
		m.Wake()
	}
	return ok
}

func (m *Memory) arrive(payload []byte, from port.Addr, localPort uint16) bool {
	if len(payload) > m.opt.FrameBytes-headroomBytes {
		m.drops[port.DropTruncated]++
		return false
	}
	f, ok := m.fill.pop()
	if !ok {
		m.drops[port.DropKernelNoFill]++
		return false
	}
	copy(m.room(f), payload)
	m.frames[f] = frame{
		place: placeRx, queue: m.opt.Queue, localPort: localPort,
		from: from, bytes: len(payload), arrivedNanos: m.opt.NowNanos(),
	}
	return m.rx.push(f)
}

// Take returns the oldest transmitted datagram that nobody has taken, and whom it
// is for. The slice belongs to the caller. Safe to call from any goroutine.
func (m *Memory) Take() (payload []byte, to port.Addr, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.replies.pop()
	return r.payload, r.to, ok
}

// Stall keeps sent datagrams from leaving, until it is called with false: the tx
// queue fills and Send takes fewer and fewer. Safe to call from any goroutine.
func (m *Memory) Stall(stalled bool) {
	m.mu.Lock()
	m.stalled = stalled
	m.mu.Unlock()
	if !stalled {
		m.Wake()
	}
}

// Reset loses everything in flight in both directions, as a network card does when
// its link is reset. Sent frames complete, so their tokens come back (unless
// LoseAtReset); datagrams in the rx queue go back to the wire. Only the port's owner
// may call it.
func (m *Memory) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.opt.LoseAtReset {
		m.lose()
	}
	for s, ok := m.tx.pop(); ok; s, ok = m.tx.pop() {
		m.drops[port.DropTxError]++
		s.flush = m.flush
		m.frames[s.frame].place = placeCompletion
		m.completion.push(s)
	}
	for f, ok := m.rx.pop(); ok; f, ok = m.rx.pop() {
		m.giveBack(f)
	}
	m.reclaim(0)
	m.refill()
}

// lose takes what is in flight out of the world. Caller holds mu.
func (m *Memory) lose() {
	for _, q := range []*queue[sent]{&m.tx, &m.completion} {
		for s, ok := q.pop(); ok; s, ok = q.pop() {
			m.drops[port.DropTxError]++
			m.frames[s.frame].place = placeCompletion
			m.lost = append(m.lost, s)
		}
	}
}
