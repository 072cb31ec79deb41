package udp

import (
	"golang.org/x/sys/unix"

	"gannet/dataplane/port"
)

// receiver is the vector of recvmmsg. Slots [0, armed) have a frame each.
type receiver struct {
	slots   []port.Frame
	headers []messageHeader
	pieces  []unix.Iovec
	control [][rxControlBytes]byte
	armed   int
}

func (r *receiver) init(batch int) {
	r.slots = make([]port.Frame, batch)
	r.headers = make([]messageHeader, batch)
	r.pieces = make([]unix.Iovec, batch)
	r.control = make([][rxControlBytes]byte, batch)
}

// arm gives free frames to slots that have none.
func (p *Port) arm() {
	for p.rx.armed < len(p.rx.slots) {
		f, ok := p.popFree()
		if !ok {
			return
		}
		p.armSlot(p.rx.armed, f)
		p.rx.armed++
	}
}

// armSlot points slot i at frame f.
func (p *Port) armSlot(i int, f port.Frame) {
	r := &p.rx
	r.slots[i] = f
	p.frames[f].place = placeFill
	setPiece(&r.pieces[i], p.room(f))
	setMessage(&r.headers[i], &p.frames[f].peer, r.pieces[i:i+1], r.control[i][:])
}

// Recv implements [port.Port].
func (p *Port) Recv(rx []port.Rx) int {
	if p.fd < 0 {
		return 0
	}
	p.arm()
	vector := p.rx.headers[:min(len(rx), p.rx.armed)]
	if len(vector) == 0 {
		return 0
	}
	came, err := recvmmsg(p.fd, vector)
	if err != nil {
		return 0 // EAGAIN, or an error of the network that the next call is rid of
	}
	lent := 0
	for i := range came {
		if p.accept(i, &rx[lent]) {
			lent++
		}
	}
	p.rearm(came)
	return lent
}

// accept turns slot i into a lent datagram. False when it is dropped; the frame is
// then free again.
func (p *Port) accept(i int, into *port.Rx) bool {
	f, h := p.rx.slots[i], &p.rx.headers[i]
	var extra received
	parseControl(p.rx.control[i][:min(int(h.header.Controllen), rxControlBytes)], &extra)
	if extra.overflowed {
		p.drops[port.DropKernelRxFull] += uint64(extra.overflow - p.lastOverflow)
		p.lastOverflow = extra.overflow
	}
	if h.header.Flags&unix.MSG_TRUNC != 0 {
		p.drops[port.DropTruncated]++
		p.pushFree(f)
		return false
	}
	fr := &p.frames[f]
	fr.bytes, fr.queue, fr.localPort, fr.local = int32(h.bytes), p.caps.Queue, p.sock.localPort, extra.local
	if extra.stampNanos != 0 {
		fr.arrivedNanos = p.clock.boot(extra.stampNanos)
	} else {
		fr.arrivedNanos = port.BootNanos()
	}
	*into = p.lend(f, int(h.bytes))
	return true
}

// rearm refills the first n slots, which have been emptied: with free frames, or
// with the last armed slots' when there are none.
func (p *Port) rearm(n int) {
	r := &p.rx
	for i := n - 1; i >= 0; i-- {
		if f, ok := p.popFree(); ok {
			p.armSlot(i, f)
			continue
		}
		r.armed--
		if i != r.armed {
			p.armSlot(i, r.slots[r.armed])
		}
	}
}
