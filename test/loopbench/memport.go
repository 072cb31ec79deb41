package main

import (
	"time"

	"gannet/dataplane/port"
)

var _ port.Port = (*memPort)(nil)

// memPort is a port whose other end is a client in the same goroutine. It is as
// lean as memory allows, because its cost is part of what is measured: frames go
// round in the order of a fill queue, so that a batch lies where a card's would.
type memPort struct {
	caps   port.Caps
	arena  []byte
	used   []int        // payload bytes of each frame
	free   []port.Frame // a queue: next..next+size
	next   int
	size   int
	rx     []port.Frame // written by the client, not yet received
	held   int
	sent   []sent // by Send; the client reads them after the turn
	tokens []uint64
	from   port.Addr
	now    int64 // arrival of what is received next
	shift  uint  // a frame has 1<<shift bytes
}

// sent is a reply on its way to the client.
type sent struct {
	frame port.Frame
	bytes int
	tail  []byte
	token uint64
}

const (
	memFrames     = 512
	memFrameShift = 11 // 2048 bytes, a UMEM's usual chunk
	memHeadroom   = 256 + 42
	memPayload    = 1472
)

// newMemPort makes one whose replies may have so many pieces, with frames of so many
// bytes.
func newMemPort(segments int, frameShift uint, from port.Addr) *memPort {
	p := &memPort{
		caps: port.Caps{
			Rung: port.RungMemory, MaxBatch: 64, MaxPayload: memPayload, MaxPayload6: memPayload - 20,
			Headroom: memHeadroom, MaxSegments: segments, ZeroCopyTail: segments > 1, RxTimestamps: true,
		},
		arena: make([]byte, memFrames<<frameShift), used: make([]int, memFrames), free: make([]port.Frame, memFrames),
		rx: make([]port.Frame, 0, memFrames), sent: make([]sent, 0, memFrames), tokens: make([]uint64, 0, 2*memFrames),
		from: from, shift: frameShift,
	}
	for f := range p.free {
		p.free[f] = port.Frame(f)
	}
	p.size = memFrames
	return p
}

func (p *memPort) room(f port.Frame) []byte {
	at, end := int(f)<<(p.shift&63), int(f+1)<<(p.shift&63)
	return p.arena[at+memHeadroom : end : end]
}

func (p *memPort) pop() (port.Frame, bool) {
	if p.size == 0 {
		return 0, false
	}
	f := p.free[p.next]
	p.next = (p.next + 1) % memFrames
	p.size--
	return f, true
}

func (p *memPort) push(f port.Frame) {
	p.free[(p.next+p.size)%memFrames] = f
	p.size++
}

// offer is the client's: it puts a request on the wire. False when no frame is free.
func (p *memPort) offer(request []byte) bool {
	f, ok := p.pop()
	if !ok {
		return false
	}
	p.used[f] = copy(p.room(f), request)
	p.rx = append(p.rx, f)
	return true
}

// collect is the client's: it shows all replies sent and frees their frames.
func (p *memPort) collect(see func(head, tail []byte)) {
	for i := range p.sent {
		s := &p.sent[i]
		see(p.room(s.frame)[:s.bytes], s.tail)
		p.push(s.frame)
		if s.token != 0 {
			p.tokens = append(p.tokens, s.token)
		}
	}
	p.sent = p.sent[:0]
}

// Caps implements [port.Port].
func (p *memPort) Caps() port.Caps { return p.caps }

// Recv implements [port.Port].
func (p *memPort) Recv(rx []port.Rx) int {
	n := min(len(rx), len(p.rx))
	for i, f := range p.rx[:n] {
		p.lend(&rx[i], f)
	}
	p.rx = p.rx[:copy(p.rx, p.rx[n:])]
	return n
}

func (p *memPort) lend(rx *port.Rx, f port.Frame) {
	p.held++
	rx.Frame, rx.Payload, rx.More = f, p.room(f)[:p.used[f]], nil
	rx.From = p.from // not with the others: that makes a copy in between
	rx.LocalPort, rx.Queue, rx.ArrivedNanos = 9800, 0, p.now
}

// Send implements [port.Port].
func (p *memPort) Send(tx []port.Tx) int {
	for i := range tx {
		t := &tx[i]
		p.sent = p.sent[:len(p.sent)+1]
		s := &p.sent[len(p.sent)-1]
		s.frame, s.bytes, s.tail, s.token = t.Frame, t.Bytes, t.Tail, t.Token
	}
	p.held -= len(tx)
	return len(tx)
}

// Release implements [port.Port].
func (p *memPort) Release(f port.Frame) {
	p.held--
	p.push(f)
}

// Lease implements [port.Port].
func (p *memPort) Lease(port.Frame) (rx port.Rx, ok bool) {
	f, ok := p.pop()
	if ok {
		p.used[f] = 0
		p.lend(&rx, f)
	}
	return rx, ok
}

// Raw implements [port.Port].
func (p *memPort) Raw(f port.Frame) []byte { return p.room(f)[:p.used[f]] }

// Import implements [port.Port].
func (p *memPort) Import([]byte, uint16, int64) (port.Rx, bool) { return port.Rx{}, false }

// Flush implements [port.Port].
func (p *memPort) Flush() error { return nil }

// Completed implements [port.Port].
func (p *memPort) Completed(tokens []uint64) int {
	n := copy(tokens, p.tokens)
	p.tokens = p.tokens[:copy(p.tokens, p.tokens[n:])]
	return n
}

// Wait implements [port.Port]. Nothing here sleeps.
func (p *memPort) Wait(time.Duration) error { return nil }

// Wake implements [port.Port].
func (p *memPort) Wake() {}

// Census implements [port.Port].
func (p *memPort) Census() port.Census {
	return port.Census{Free: p.size, Rx: len(p.rx), Held: p.held, Tx: len(p.sent), All: memFrames}
}

// Drops implements [port.Port].
func (p *memPort) Drops(*port.Drops) {}

// Close implements [port.Port].
func (p *memPort) Close() error { return nil }
