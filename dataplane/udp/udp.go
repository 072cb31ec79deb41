package udp

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"gannet/dataplane/port"
)

var _ port.Port = (*Port)(nil)

// headroomBytes in front of each payload hold the addresses of Raw.
const headroomBytes = 64

// Port is one shard's socket.
type Port struct {
	opt   Options
	caps  port.Caps
	sock  socket
	fd    int // sock.fd; -1 once closed
	waker *port.Waker
	clock realClock

	arena  []byte
	frames []frame
	free   []port.Frame // stack
	held   int

	rx     receiver
	tx     sender
	tokens []uint64 // completed, not fetched; never more than frames
	drops  port.Drops
	// lastOverflow is the kernel's own count of drops as last seen; it wraps.
	lastOverflow uint32
	release      func() error // gives the arena back
}

type place uint8

const (
	placeFree place = iota
	placeFill
	placeHeld
	placeTx
)

// frame is what the port knows about a frame beside its bytes.
type frame struct {
	peer         sockaddr // written by the kernel while in fill
	place        place
	queue        uint16
	bytes        int32 // payload bytes of the datagram received into it
	localPort    uint16
	local        local
	arrivedNanos int64
}

// Open opens the port of one shard.
func Open(o Options, index int) (*Port, error) {
	o = o.withDefaults()
	if err := o.check(index); err != nil {
		return nil, err
	}
	sock, err := openSocket(o, index)
	if err != nil {
		return nil, err
	}
	p, err := newPort(o, sock, index)
	if err != nil {
		_ = unix.Close(sock.fd)
		return nil, err
	}
	return p, nil
}

func newPort(o Options, sock socket, index int) (*Port, error) {
	waker, err := port.NewWaker()
	if err != nil {
		return nil, err
	}
	arena, release, err := openArena(int64(o.Frames) * frameStride(o))
	if err != nil {
		_ = waker.Close()
		return nil, fmt.Errorf("udp: memory of %d frames: %w", o.Frames, err)
	}
	p := &Port{
		opt: o, caps: o.caps(index), sock: sock, fd: sock.fd, waker: waker,
		arena: arena, release: release,
		frames: make([]frame, o.Frames),
		free:   make([]port.Frame, 0, o.Frames),
		tokens: make([]uint64, 0, o.Frames),
	}
	for f := o.Frames - 1; f >= 0; f-- {
		p.free = append(p.free, port.Frame(f))
	}
	p.rx.init(o.MaxBatch)
	p.tx.init(o.Frames, sock.segments)
	p.clock.measure()
	return p, nil
}

// frameStride keeps frames and their headroom on cache lines.
func frameStride(o Options) int64 { return int64(headroomBytes+o.FrameBytes+63) &^ 63 }

// Caps implements [port.Port].
func (p *Port) Caps() port.Caps { return p.caps }

// LocalPort is the UDP port to which the socket is bound.
func (p *Port) LocalPort() uint16 { return p.sock.localPort }

// room is the whole space for a payload in f.
func (p *Port) room(f port.Frame) []byte {
	start := int(f)*int(frameStride(p.opt)) + headroomBytes
	return p.arena[start : start+p.opt.FrameBytes : start+p.opt.FrameBytes]
}

func (p *Port) popFree() (port.Frame, bool) {
	if len(p.free) == 0 {
		return 0, false
	}
	f := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	return f, true
}

func (p *Port) pushFree(f port.Frame) {
	p.frames[f].place = placeFree
	p.free = append(p.free, f)
}

// lend hands f to the caller.
func (p *Port) lend(f port.Frame, payloadBytes int) port.Rx {
	fr := &p.frames[f]
	fr.place = placeHeld
	p.held++
	return port.Rx{
		Frame: f, Payload: p.room(f)[:payloadBytes], From: fr.peer.addr(),
		LocalPort: fr.localPort, Queue: fr.queue, ArrivedNanos: fr.arrivedNanos,
	}
}

// isHeld guards against frames that the caller does not hold: taking such a frame
// would put it in two places.
func (p *Port) isHeld(f port.Frame) bool {
	return int(f) < len(p.frames) && p.frames[f].place == placeHeld
}

// Release implements [port.Port].
func (p *Port) Release(f port.Frame) {
	if !p.isHeld(f) {
		return
	}
	p.held--
	p.pushFree(f)
}

// Lease implements [port.Port].
func (p *Port) Lease(like port.Frame) (port.Rx, bool) {
	if !p.isHeld(like) {
		return port.Rx{}, false
	}
	f, ok := p.popFree()
	if !ok {
		return port.Rx{}, false
	}
	p.frames[f] = p.frames[like]
	p.frames[f].bytes = 0
	return p.lend(f, 0), true
}

// Completed implements [port.Port].
func (p *Port) Completed(tokens []uint64) int {
	n := copy(tokens, p.tokens)
	p.tokens = p.tokens[:copy(p.tokens, p.tokens[n:])]
	return n
}

// Wait implements [port.Port].
func (p *Port) Wait(timeout time.Duration) error {
	if p.fd < 0 {
		return fmt.Errorf("udp: wait: %w", port.ErrClosed)
	}
	p.arm()
	var events int16
	if p.rx.armed > 0 {
		events = unix.POLLIN // with no frame to receive into, it would return at once for ever
	}
	if p.tx.blocked {
		events |= unix.POLLOUT
	}
	return p.waker.Poll(p.fd, events, timeout)
}

// Wake implements [port.Port].
func (p *Port) Wake() { p.waker.Wake() }

// Census implements [port.Port]. It is always exact: the kernel holds no frame
// between two calls.
func (p *Port) Census() port.Census {
	return port.Census{
		Free: len(p.free), Fill: p.rx.armed, Held: p.held, Tx: p.tx.size, All: p.opt.Frames,
	}
}

// Drops implements [port.Port]. The kernel's count comes with the datagram that
// follows a drop.
func (p *Port) Drops(into *port.Drops) {
	for i, n := range p.drops {
		into[i] += n
	}
}

// Close implements [port.Port].
func (p *Port) Close() error {
	if p.fd < 0 {
		return nil
	}
	err := unix.Close(p.fd)
	p.fd = -1
	if e := p.waker.Close(); err == nil {
		err = e
	}
	if e := p.release(); err == nil {
		err = e
	}
	return err
}
