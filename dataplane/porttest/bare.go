package porttest

import (
	"time"

	"gannet/dataplane/port"
)

var _ port.Port = (*Bare)(nil)

// Bare is a port without a network, a lock or a check, for benchmarks: what it costs
// is next to nothing, so that the rest shows. It hands out prepared requests over and
// over, and swallows the replies. Frames go round, as they do through a card's queues:
// the next request comes into the frame that was sent longest ago.
type Bare struct {
	requests   [][]byte
	from       port.Addr
	arena      []byte
	frameBytes int
	frames     int
	next       int // frame
	request    int
	lent       int
	maxPayload int
	inPlace    bool
	tokens     []uint64
	now        int64
	// Sent counts replies, and their bytes.
	Sent, SentBytes uint64
}

// NewBare makes one that takes datagrams of maxPayload.
func NewBare(frames, frameBytes, maxPayload int, inPlace bool, requests [][]byte, from port.Addr) *Bare {
	return &Bare{
		requests: requests, from: from, arena: make([]byte, frames*frameBytes), frameBytes: frameBytes, frames: frames,
		maxPayload: maxPayload, inPlace: inPlace, tokens: make([]uint64, 0, frames),
	}
}

// Feed lets Recv lend no more than n requests until the next Feed, and says what time
// they arrive at.
func (b *Bare) Feed(n, stride int, nowNanos int64) {
	b.lent, b.now = n, nowNanos
	b.request += stride
}

// Caps implements [port.Port].
func (b *Bare) Caps() port.Caps {
	c := port.Caps{
		Rung: port.RungMemory, MaxBatch: 64, MaxPayload: b.maxPayload, MaxPayload6: b.maxPayload,
		Headroom: headroomBytes, MaxSegments: 1, RxTimestamps: true,
	}
	if b.inPlace {
		c.InPlaceBytes = headroomBytes
	}
	return c
}

func (b *Bare) take() []byte {
	at := b.next * b.frameBytes
	if b.next++; b.next == b.frames {
		b.next = 0
	}
	return b.arena[at+headroomBytes : at+b.frameBytes : at+b.frameBytes]
}

// Recv implements [port.Port].
func (b *Bare) Recv(rx []port.Rx) int {
	n := min(len(rx), b.lent)
	b.lent -= n
	for i := range rx[:n] {
		frame := port.Frame(b.next)
		room := b.take()
		if b.request++; b.request >= len(b.requests) {
			b.request %= len(b.requests)
		}
		rx[i] = port.Rx{
			Frame: frame, Payload: room[:copy(room, b.requests[b.request])], From: b.from, LocalPort: 9800, ArrivedNanos: b.now,
		}
	}
	return n
}

// Send implements [port.Port].
func (b *Bare) Send(tx []port.Tx) int {
	for i := range tx {
		t := &tx[i]
		b.Sent++
		b.SentBytes += uint64(t.Bytes + len(t.Tail))
		if t.RoomBytes > 0 {
			at := int(t.Frame) * b.frameBytes
			copy(before(t.Tail, t.Bytes+headroomBytes), b.arena[at:at+headroomBytes+t.Bytes])
		}
		if t.Token != 0 {
			b.tokens = append(b.tokens, t.Token)
		}
	}
	return len(tx)
}

// Completed implements [port.Port]. What was sent is complete at once.
func (b *Bare) Completed(into []uint64) int {
	n := copy(into, b.tokens)
	b.tokens = b.tokens[:copy(b.tokens, b.tokens[n:])]
	return n
}

// Lease implements [port.Port].
func (b *Bare) Lease(port.Frame) (port.Rx, bool) {
	frame := port.Frame(b.next)
	return port.Rx{Frame: frame, Payload: b.take()[:0], From: b.from, LocalPort: 9800, ArrivedNanos: b.now}, true
}

// Census implements [port.Port]. Frames are not followed.
func (b *Bare) Census() port.Census { return port.Census{Free: b.frames, All: b.frames} }

// Release implements [port.Port].
func (b *Bare) Release(port.Frame) {}

// Raw implements [port.Port]. There is nothing to hand over.
func (b *Bare) Raw(port.Frame) []byte { return nil }

// Import implements [port.Port].
func (b *Bare) Import([]byte, uint16, int64) (port.Rx, bool) { return port.Rx{}, false }

// Flush implements [port.Port].
func (b *Bare) Flush() error { return nil }

// Wait implements [port.Port].
func (b *Bare) Wait(time.Duration) error { return nil }

// Wake implements [port.Port].
func (b *Bare) Wake() {}

// Drops implements [port.Port].
func (b *Bare) Drops(*port.Drops) {}

// Close implements [port.Port].
func (b *Bare) Close() error { return nil }
