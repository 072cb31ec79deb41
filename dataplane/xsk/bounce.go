package xsk

import "gannet/dataplane/port"

// bounceCount is how many packets longer than a frame may be held at a time. They
// are rare: requests that store large values over jumbo frames.
const bounceCount = 64

// bounces are buffers for packets that came in several frames.
type bounces struct {
	bytes  int
	memory []byte
	free   []int16 // 1 + index
}

func newBounces(count, bytes int) bounces {
	b := bounces{bytes: bytes, memory: make([]byte, count*bytes), free: make([]int16, 0, count)}
	for i := range count {
		b.free = append(b.free, int16(i+1))
	}
	return b
}

func (b *bounces) take() (int16, bool) {
	if len(b.free) == 0 {
		return 0, false
	}
	n := b.free[len(b.free)-1]
	b.free = b.free[:len(b.free)-1]
	return n, true
}

func (b *bounces) release(n int16) { b.free = append(b.free, n) }

func (b *bounces) buffer(n int16) []byte {
	at := (int(n) - 1) * b.bytes
	return b.memory[at : at+b.bytes : at+b.bytes]
}

// chain is a packet of several frames that is being put together. It may stretch
// over several calls of Recv.
type chain struct {
	active bool
	failed bool // swallow the rest: its reason has been counted
	first  port.Frame
	bytes  int // in the bounce buffer
}

// link adds a frame to the chain. True when that was the last one and the packet is
// good.
func (p *Port) link(f port.Frame, more bool) (port.Frame, bool) {
	piece := p.packet(f)[:p.frames[f].packetBytes]
	if !p.chain.active {
		p.startChain(f)
	}
	c := &p.chain
	if !c.failed {
		p.appendPiece(piece)
	}
	if f != c.first || c.failed {
		p.pushFree(f)
	}
	if more {
		return 0, false
	}
	c.active = false
	if c.failed {
		return 0, false
	}
	p.frames[c.first].packetBytes = uint32(c.bytes)
	return p.admit(c.first)
}

// startChain takes a bounce buffer for the packet that begins in f.
func (p *Port) startChain(f port.Frame) {
	p.chain = chain{active: true, first: f}
	p.readMeta(f)
	bounce, ok := p.bounces.take()
	if !ok {
		p.drops[port.DropNoFrame]++
		p.chain.failed = true
		return
	}
	p.frames[f].bounce = bounce
}

func (p *Port) appendPiece(piece []byte) {
	c := &p.chain
	buffer := p.bounces.buffer(p.frames[c.first].bounce)
	if c.bytes+len(piece) > len(buffer) {
		p.drops[port.DropTruncated]++
		c.failed = true
		p.bounces.release(p.frames[c.first].bounce)
		p.frames[c.first].bounce = 0
		if c.bytes > 0 { // the first frame has been kept until now
			p.pushFree(c.first)
		}
		return
	}
	copy(buffer[c.bytes:], piece)
	c.bytes += len(piece)
}
