package xsk

import (
	"gannet/bpf"
	"gannet/dataplane/port"
)

// Recv implements [port.Port].
func (p *Port) Recv(rx []port.Rx) int {
	if p.isClosed() {
		return 0
	}
	if len(rx) > p.opt.MaxBatch {
		rx = rx[:p.opt.MaxBatch]
	}
	lent := 0
	p.expect(len(rx))
	now := int64(0) // read at most once a batch
	for lent < len(rx) && p.sock.rx.available(1) > 0 {
		f, ok := p.accept(p.sock.rx.get())
		if !ok {
			continue
		}
		if p.frames[f].arrivedNanos == 0 {
			if now == 0 {
				now = port.BootNanos()
			}
			p.frames[f].arrivedNanos = now
		}
		p.lendInto(&rx[lent], f)
		lent++
	}
	p.sock.rx.release()
	return lent
}

// expect asks for the beginnings of the packets that come next, so that their cache
// misses overlap.
func (p *Port) expect(most int) {
	waiting := p.sock.rx.waiting()
	p.supply.note(waiting)
	for i := range uint32(min(waiting, most)) {
		p.sock.umem.prefetch(p.sock.rx.peek(i).Addr)
	}
}

// accept takes one descriptor's frame from the kernel. True when a whole datagram is
// ready in it.
func (p *Port) accept(d Desc) (port.Frame, bool) {
	u := p.sock.umem
	addr := u.plain(d.Addr)
	f, start := port.Frame(addr/u.frameBytes), addr%u.frameBytes
	if addr >= u.framesBytes || int(f) >= len(p.frames) || p.frames[f].place != placeFill || start+uint64(d.Len) > u.frameBytes {
		p.drops[port.DropKernelInvalid]++
		return 0, false
	}
	p.inFill--
	p.frames[f] = frame{start: uint16(start), packetBytes: d.Len, queue: uint16(p.opt.Queue)}
	if d.Options&Continued != 0 || p.chain.active {
		return p.link(f, d.Options&Continued != 0)
	}
	p.readMeta(f)
	return p.admit(f)
}

// readMeta takes what the program put in front of the packet.
func (p *Port) readMeta(f port.Frame) {
	fr := &p.frames[f]
	if !p.opt.Metadata || fr.start < bpf.MetaBytes {
		return
	}
	if m, ok := bpf.ReadMeta(p.sock.umem.frame(uint32(f))[fr.start-bpf.MetaBytes : fr.start]); ok {
		fr.arrivedNanos, fr.queue = m.ArrivalNanos, uint16(m.Queue)
	}
}

// admit parses the packet in f. What is not for us is dropped, and its frame free.
func (p *Port) admit(f port.Frame) (port.Frame, bool) {
	fr := &p.frames[f]
	packet := p.packet(f)
	if !parse(packet[:fr.packetBytes], &fr.headers) || !p.isOurs(fr.headers.localPort(packet)) {
		p.drops[port.DropHeaders]++
		p.pushFree(f)
		return 0, false
	}
	// Ethernet's padding is no part of the datagram.
	fr.packetBytes = uint32(fr.headers.payload) + uint32(fr.headers.bytes)
	return f, true
}

func (p *Port) isOurs(localPort uint16) bool {
	return p.opt.Shards == 0 || int(localPort)-int(p.opt.PortBase) < p.opt.Shards && localPort >= p.opt.PortBase
}
