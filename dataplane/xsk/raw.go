package xsk

import "gannet/dataplane/port"

// Raw implements [port.Port]. It is the packet itself, from its Ethernet header on.
func (p *Port) Raw(f port.Frame) []byte {
	if !p.isHeld(f) {
		return nil
	}
	n := p.frames[f].packetBytes
	return p.packet(f)[:n:n]
}

// Import implements [port.Port]. A packet longer than a frame goes into a bounce
// buffer, as on its arrival.
func (p *Port) Import(raw []byte, queue uint16, arrivedNanos int64) (port.Rx, bool) {
	var h headers
	if !parse(raw, &h) || !p.isOurs(h.localPort(raw)) || p.isClosed() {
		return port.Rx{}, false
	}
	f, ok := p.popFree()
	if !ok {
		p.drops[port.DropNoFrame]++
		return port.Rx{}, false
	}
	p.frames[f] = frame{
		start: dataOffsetBytes, headers: h, queue: queue, arrivedNanos: arrivedNanos,
		packetBytes: uint32(h.payload) + uint32(h.bytes),
	}
	if len(raw) > p.opt.FrameBytes-dataOffsetBytes && !p.importLong(f, raw) {
		p.pushFree(f)
		return port.Rx{}, false
	}
	copy(p.packet(f), raw)
	return p.lend(f), true
}

func (p *Port) importLong(f port.Frame, raw []byte) bool {
	if len(raw) > p.bounces.bytes {
		p.drops[port.DropTruncated]++
		return false
	}
	bounce, ok := p.bounces.take()
	if !ok {
		p.drops[port.DropNoFrame]++
		return false
	}
	p.frames[f].bounce = bounce
	return true
}
