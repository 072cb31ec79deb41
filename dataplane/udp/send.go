package udp

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"gannet/dataplane/port"
)

// Bounds of one sendmmsg and of one UDP GSO message.
const (
	vectorDatagrams  = 128
	maxSegments      = 64    // of the kernel (UDP_MAX_SEGMENTS; twice that since 6.9)
	maxSegmentsBytes = 65000 // below the longest UDP packet of either family
)

// sent is a datagram in the tx queue.
type sent struct {
	tail    []byte
	token   uint64
	frame   port.Frame
	bytes   int32 // in the frame
	dropped bool  // was too long; completes in its turn
}

func (s *sent) totalBytes() int { return int(s.bytes) + len(s.tail) }

// sender is the tx queue (a circle of frames) and the vector of sendmmsg.
type sender struct {
	queue      []sent
	head, size int
	blocked    bool // the socket's buffer was full at the last Flush
	segments   bool // join datagrams by UDP GSO
	alone      int  // so many datagrams at the head must not be joined: the kernel refused that

	headers []messageHeader
	pieces  []unix.Iovec
	control [][txControlBytes]byte
	joined  []int // datagrams in each message
}

func (s *sender) init(frames int, segments bool) {
	s.queue = make([]sent, frames)
	s.segments = segments
	s.headers = make([]messageHeader, vectorDatagrams)
	s.pieces = make([]unix.Iovec, 2*vectorDatagrams)
	s.control = make([][txControlBytes]byte, vectorDatagrams)
	s.joined = make([]int, vectorDatagrams)
}

func (s *sender) at(i int) *sent {
	i += s.head
	if i >= len(s.queue) {
		i -= len(s.queue)
	}
	return &s.queue[i]
}

// Send implements [port.Port]. The queue has a place for every frame, so it only
// refuses on a closed port, or a frame that the caller does not hold.
func (p *Port) Send(tx []port.Tx) int {
	if p.fd < 0 {
		return 0
	}
	for i := range tx {
		if !p.isHeld(tx[i].Frame) {
			return i
		}
		p.enqueue(&tx[i])
	}
	return len(tx)
}

func (p *Port) enqueue(t *port.Tx) {
	fr := &p.frames[t.Frame]
	limit := p.caps.MaxPayload
	if !fr.peer.addr().Is4() {
		limit = p.caps.MaxPayload6
	}
	s := p.tx.at(p.tx.size)
	*s = sent{tail: t.Tail, token: t.Token, frame: t.Frame, bytes: int32(t.Bytes)}
	if t.Bytes < 0 || t.Bytes+len(t.Tail) > limit {
		p.drops[port.DropTooLong]++
		s.dropped = true
	}
	p.tx.size++
	p.held--
	fr.place = placeTx // ownership passes here
}

// Flush implements [port.Port].
func (p *Port) Flush() error {
	if p.fd < 0 {
		return fmt.Errorf("udp: flush: %w", port.ErrClosed)
	}
	p.tx.blocked = false
	for p.tx.size > 0 {
		if p.tx.at(0).dropped {
			if !p.completeHead(1) {
				return nil
			}
			continue
		}
		messages := p.gather()
		if messages == 0 {
			return nil // no room for their tokens: Completed must be called first
		}
		left, err := sendmmsg(p.fd, p.tx.headers[:messages])
		for i := range left {
			p.completeHead(p.tx.joined[i])
		}
		if left == 0 && p.refused(err) {
			return nil
		}
	}
	return nil
}

// gather builds the vector from the head of the queue and returns the number of
// messages.
func (p *Port) gather() int {
	s := &p.tx
	datagrams := min(s.size, vectorDatagrams, cap(p.tokens)-len(p.tokens))
	messages, pieces := 0, 0
	for i := 0; i < datagrams && !s.at(i).dropped; {
		n := p.run(i, datagrams)
		first := pieces
		for k := i; k < i+n; k++ {
			pieces = p.addPieces(s.at(k), pieces)
		}
		p.address(messages, s.at(i), n, s.pieces[first:pieces])
		s.joined[messages] = n
		messages++
		i += n
	}
	return messages
}

// run is how many datagrams from the i-th on may leave as one message: of one
// length, but for a shorter last one, and to one peer.
func (p *Port) run(i, limit int) int {
	s := &p.tx
	if !s.segments || i < s.alone {
		return 1
	}
	first := s.at(i)
	size, total, n := first.totalBytes(), first.totalBytes(), 1
	for i+n < limit && n < maxSegments {
		next := s.at(i + n)
		bytes := next.totalBytes()
		if next.dropped || bytes > size || bytes == 0 || total+bytes > maxSegmentsBytes || !p.samePath(first, next) {
			break
		}
		total += bytes
		n++
		if bytes < size {
			break
		}
	}
	return n
}

func (p *Port) samePath(a, b *sent) bool {
	fa, fb := &p.frames[a.frame], &p.frames[b.frame]
	return fa.peer == fb.peer && fa.local == fb.local
}

func (p *Port) addPieces(s *sent, at int) int {
	setPiece(&p.tx.pieces[at], p.room(s.frame)[:s.bytes])
	at++
	if len(s.tail) > 0 {
		setPiece(&p.tx.pieces[at], s.tail)
		at++
	}
	return at
}

// address fills header i: to whom, from which address, in segments of which size.
func (p *Port) address(i int, first *sent, datagrams int, pieces []unix.Iovec) {
	fr := &p.frames[first.frame]
	control := p.tx.control[i][:0]
	if fr.local.set {
		control = appendLocal(control, &fr.local, p.sock.ipv4)
	}
	if datagrams > 1 {
		control = appendSegment(control, first.totalBytes())
	}
	setMessage(&p.tx.headers[i], &fr.peer, pieces, control)
}

// refused deals with an error about the first message of the vector. True when
// there is no point in going on now.
func (p *Port) refused(err error) bool {
	switch {
	case errors.Is(err, unix.EINTR):
		return false
	case errors.Is(err, unix.EAGAIN):
		p.tx.blocked = true
		return true
	case p.tx.joined[0] > 1:
		// No checksum offload (EIO), or segments over this path's MTU: one by one then.
		p.tx.segments = p.tx.segments && !errors.Is(err, unix.EIO)
		p.tx.alone = p.tx.joined[0]
	case errors.Is(err, unix.EMSGSIZE):
		p.drops[port.DropTooLong]++
		p.completeHead(1)
	default:
		p.drops[port.DropTxError]++
		p.completeHead(1)
	}
	return false
}

// completeHead frees the first n datagrams of the queue. False when there is no
// room for a token: then nothing more is freed.
func (p *Port) completeHead(n int) bool {
	s := &p.tx
	for range n {
		done := s.at(0)
		if done.token != 0 {
			if len(p.tokens) == cap(p.tokens) {
				return false
			}
			p.tokens = append(p.tokens, done.token)
		}
		p.pushFree(done.frame)
		done.tail = nil
		s.head = (s.head + 1) % len(s.queue)
		s.size--
		s.alone = max(0, s.alone-1)
	}
	return true
}
