package porttest

import (
	"fmt"
	"sync"
	"time"

	"gannet/dataplane/port"
)

var _ port.Port = (*Memory)(nil)

// Memory is a port without a network.
type Memory struct {
	opt    Options
	caps   port.Caps
	arena  []byte
	frames []frame
	free   []port.Frame // stack; owner only
	held   int          // owner only
	flush  int          // Flushes so far; owner only
	tokens queue[uint64]
	wake   chan struct{} // holds one: something happened
	timer  *time.Timer

	mu         sync.Mutex // guards all below
	fill       queue[port.Frame]
	rx         queue[port.Frame]
	tx         queue[sent]
	completion queue[sent]
	replies    queue[reply]
	lost       []sent // by Reset: never completed
	drops      port.Drops
	stalled    bool
	closed     bool
}

// place says where a frame is. Only moves between held and the rest are checked.
type place uint8

const (
	placeFree place = iota
	placeFill
	placeRx
	placeHeld
	placeTx
	placeCompletion
)

// frame is what the port knows about one frame.
type frame struct {
	place        place
	queue        uint16
	localPort    uint16
	from         port.Addr
	bytes        int // payload bytes
	arrivedNanos int64
}

// sent is a datagram between Send and its completion.
type sent struct {
	frame port.Frame
	bytes int
	tail  []byte
	room  []byte // of a datagram in place: the frame's part stands here, in front of tail
	token uint64
	flush int    // the Flush that transmitted it
	seal  uint64 // hash of frame and tail at Send, when strict
}

type reply struct {
	payload []byte
	to      port.Addr
}

// New opens a memory port.
func New(options Options) *Memory {
	o := options.withDefaults()
	m := &Memory{
		opt:        o,
		arena:      make([]byte, o.Frames*o.FrameBytes),
		frames:     make([]frame, o.Frames),
		free:       make([]port.Frame, 0, o.Frames),
		tokens:     newQueue[uint64](o.Frames),
		wake:       make(chan struct{}, 1),
		timer:      time.NewTimer(time.Hour),
		fill:       newQueue[port.Frame](o.FillFrames),
		rx:         newQueue[port.Frame](o.Frames),
		tx:         newQueue[sent](o.Frames),
		completion: newQueue[sent](o.Frames),
		replies:    newQueue[reply](o.Replies),
	}
	m.timer.Stop()
	m.caps = port.Caps{
		Rung: port.RungMemory, Queue: o.Queue, MaxBatch: o.MaxBatch,
		MaxPayload: o.MaxPayload, MaxPayload6: o.MaxPayload - 20,
		Headroom: headroomBytes, MaxSegments: o.MaxSegments, ZeroCopyTail: o.MaxSegments > 1,
		RxTimestamps: true,
	}
	if o.InPlace {
		m.caps.InPlaceBytes = headroomBytes
	}
	for f := o.Frames - 1; f >= 0; f-- {
		m.free = append(m.free, port.Frame(f))
	}
	m.refill()
	return m
}

// Caps implements [port.Port].
func (m *Memory) Caps() port.Caps { return m.caps }

// room is the whole space for a payload in f.
func (m *Memory) room(f port.Frame) []byte {
	start := int(f) * m.opt.FrameBytes
	return m.arena[start+headroomBytes : start+m.opt.FrameBytes : start+m.opt.FrameBytes]
}

// hold lends f to the caller.
func (m *Memory) hold(f port.Frame, payloadBytes int) port.Rx {
	fr := &m.frames[f]
	fr.place = placeHeld
	m.held++
	return port.Rx{
		Frame: f, Payload: m.room(f)[:payloadBytes], From: fr.from,
		LocalPort: fr.localPort, Queue: fr.queue, ArrivedNanos: fr.arrivedNanos,
	}
}

// take ends a loan. The frame must be held.
func (m *Memory) take(f port.Frame, call string) {
	m.mustHold(f, call)
	m.held--
}

// Recv implements [port.Port].
func (m *Memory) Recv(rx []port.Rx) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := min(len(rx), m.rx.size, m.opt.MaxBatch)
	if m.closed {
		n = 0
	}
	for i := range n {
		f, _ := m.rx.pop()
		rx[i] = m.hold(f, m.frames[f].bytes)
	}
	return n
}

// Send implements [port.Port].
func (m *Memory) Send(tx []port.Tx) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := min(len(tx), m.opt.TxSlots-m.tx.size-m.completion.size, m.opt.MaxBatch)
	if m.opt.SendAtMost > 0 {
		n = min(n, m.opt.SendAtMost)
	}
	n = max(n, 0)
	for i := range n {
		m.sendOne(&tx[i])
	}
	return n
}

// sendOne takes one frame over. Datagrams longer than the path allows are dropped
// and complete in their turn, as the kernel would have it.
func (m *Memory) sendOne(t *port.Tx) {
	m.take(t.Frame, "Send")
	s := sent{frame: t.Frame, bytes: t.Bytes, tail: t.Tail, token: t.Token}
	limit := m.caps.MaxPayload
	if !m.frames[t.Frame].from.Is4() {
		limit = m.caps.MaxPayload6
	}
	if t.Bytes+len(t.Tail) > limit {
		m.drops[port.DropTooLong]++
		s.bytes, s.tail = 0, nil
	}
	if m.opt.InPlace && len(s.tail) > 0 && t.RoomBytes >= headroomBytes+t.Bytes {
		s.room = before(s.tail, s.bytes)
		copy(s.room, m.room(t.Frame))
	} else if m.opt.MaxSegments == 1 && len(s.tail) > 0 {
		s.bytes += copy(m.room(t.Frame)[s.bytes:], s.tail)
		s.tail = nil
	}
	if m.opt.Strict {
		s.seal = m.seal(&s)
	}
	m.frames[t.Frame].place = placeTx
	m.tx.push(s)
}

// Release implements [port.Port].
func (m *Memory) Release(f port.Frame) {
	m.take(f, "Release")
	m.giveBack(f)
}

// giveBack puts a frame on the free stack. Nobody may look at it any more.
func (m *Memory) giveBack(f port.Frame) {
	if m.opt.Strict {
		m.poison(f)
	}
	m.frames[f].place = placeFree
	m.free = append(m.free, f)
}

func (m *Memory) popFree() (port.Frame, bool) {
	if len(m.free) == 0 {
		return 0, false
	}
	f := m.free[len(m.free)-1]
	m.free = m.free[:len(m.free)-1]
	return f, true
}

// Lease implements [port.Port].
func (m *Memory) Lease(like port.Frame) (port.Rx, bool) {
	m.mustHold(like, "Lease")
	f, ok := m.popFree()
	if !ok {
		return port.Rx{}, false
	}
	m.frames[f] = m.frames[like]
	m.frames[f].bytes = 0
	return m.hold(f, 0), true
}

// Flush implements [port.Port].
func (m *Memory) Flush() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fmt.Errorf("flush: %w", port.ErrClosed)
	}
	m.flush++
	if !m.stalled {
		m.transmit()
	}
	m.reclaim(max(m.opt.LateFlushes, m.lateFlushes()))
	m.refill()
	return nil
}

// transmit puts all sent datagrams on the wire. Caller holds mu.
func (m *Memory) transmit() {
	for {
		s, ok := m.tx.pop()
		if !ok {
			return
		}
		m.deliver(&s)
		s.flush = m.flush
		m.frames[s.frame].place = placeCompletion
		m.completion.push(s)
	}
}

// deliver shows one datagram to the peer: to the sink, or to Take's queue.
func (m *Memory) deliver(s *sent) {
	if s.bytes == 0 && s.tail == nil {
		return // dropped by Send
	}
	head, to := m.head(s), m.frames[s.frame].from
	if m.opt.Sink != nil {
		m.opt.Sink(head, s.tail, to)
		return
	}
	whole := append(append(make([]byte, 0, len(head)+len(s.tail)), head...), s.tail...)
	if !m.replies.push(reply{whole, to}) {
		m.drops[port.DropTxError]++
	}
}

// lateFlushes is not 0 while NextCompletion decides.
func (m *Memory) lateFlushes() int {
	if m.opt.NextCompletion != nil {
		return 1
	}
	return 0
}

// reclaim returns the frames whose completion is due, in the order of their
// sending unless NextCompletion says otherwise, as long as there is room for their
// tokens. Caller holds mu.
func (m *Memory) reclaim(lateFlushes int) {
	for m.completion.size > 0 {
		s := m.completion.front()
		if m.opt.NextCompletion != nil && lateFlushes > 0 {
			i := m.opt.NextCompletion(m.completion.size)
			if i < 0 {
				return
			}
			m.completion.toFront(i)
		} else if s.flush+lateFlushes > m.flush {
			return
		}
		if s.token != 0 && !m.tokens.push(s.token) {
			return
		}
		if m.opt.Strict {
			m.mustBeSealed(s)
		}
		f := s.frame
		*s = sent{}
		m.completion.pop()
		m.giveBack(f)
	}
}

// head is the frame's part of a sent datagram, wherever it stands.
func (m *Memory) head(s *sent) []byte {
	if s.room != nil {
		return s.room
	}
	return m.room(s.frame)[:s.bytes]
}

// slots counts the datagrams in flight that stand for a slot. Caller holds mu.
func (m *Memory) slots() (n int) {
	for _, q := range []*queue[sent]{&m.tx, &m.completion} {
		for i := range q.size {
			if q.at(i).room != nil {
				n++
			}
		}
	}
	for i := range m.lost {
		if m.lost[i].room != nil {
			n++
		}
	}
	return n
}

// refill lends free frames to the wire. Caller holds mu, or is New.
func (m *Memory) refill() {
	for !m.fill.full() {
		f, ok := m.popFree()
		if !ok {
			return
		}
		m.frames[f].place = placeFill
		m.fill.push(f)
	}
}

// Completed implements [port.Port].
func (m *Memory) Completed(tokens []uint64) int {
	n := min(len(tokens), m.tokens.size)
	for i := range n {
		tokens[i], _ = m.tokens.pop()
	}
	return n
}

// Wait implements [port.Port].
func (m *Memory) Wait(timeout time.Duration) error {
	m.mu.Lock()
	ready, closed := m.rx.size > 0, m.closed
	m.mu.Unlock()
	if closed {
		return fmt.Errorf("wait: %w", port.ErrClosed)
	}
	if ready {
		return nil
	}
	m.timer.Reset(timeout)
	select {
	case <-m.wake:
		m.timer.Stop()
	case <-m.timer.C:
	}
	return nil
}

// Wake implements [port.Port].
func (m *Memory) Wake() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Census implements [port.Port]. It is always exact.
func (m *Memory) Census() port.Census {
	m.mu.Lock()
	defer m.mu.Unlock()
	return port.Census{
		Free: len(m.free), Fill: m.fill.size, Rx: m.rx.size, Held: m.held,
		Tx: m.tx.size + len(m.lost), Completion: m.completion.size, All: m.opt.Frames, Slots: m.slots(),
	}
}

// Drops implements [port.Port].
func (m *Memory) Drops(into *port.Drops) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, n := range m.drops {
		into[i] += n
	}
}

// Close implements [port.Port].
func (m *Memory) Close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.Wake()
	return nil
}
