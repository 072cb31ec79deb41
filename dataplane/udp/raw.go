package udp

import (
	"encoding/binary"

	"gannet/dataplane/port"
)

// A raw datagram is its payload behind headroomBytes of addresses, which Raw writes
// into the frame's headroom:
//
//	 0  8  magic, with the payload's length
//	 8 28  peer (sockaddr)
//	36 16  local address     52 4 its interface    56 2 local port    58 1 local address set
//
// They are read by another port of this process only, so native order will do.
const rawMagic = 0x6475 << 48 // "ud"; the lower half is the length

// Raw implements [port.Port].
func (p *Port) Raw(f port.Frame) []byte {
	if !p.isHeld(f) {
		return nil
	}
	fr := &p.frames[f]
	start := int(f) * int(frameStride(p.opt))
	raw := p.arena[start : start+headroomBytes+int(fr.bytes) : start+headroomBytes+int(fr.bytes)]
	clear(raw[:headroomBytes])
	binary.NativeEndian.PutUint64(raw, rawMagic|uint64(fr.bytes))
	copy(raw[8:36], fr.peer[:])
	copy(raw[36:52], fr.local.ip[:])
	binary.NativeEndian.PutUint32(raw[52:], fr.local.ifindex)
	binary.NativeEndian.PutUint16(raw[56:], fr.localPort)
	if fr.local.set {
		raw[58] = 1
	}
	return raw
}

// Import implements [port.Port].
func (p *Port) Import(raw []byte, queue uint16, arrivedNanos int64) (port.Rx, bool) {
	payloadBytes := len(raw) - headroomBytes
	if payloadBytes < 0 || payloadBytes > p.opt.FrameBytes ||
		binary.NativeEndian.Uint64(raw) != rawMagic|uint64(payloadBytes) {
		return port.Rx{}, false
	}
	f, ok := p.popFree()
	if !ok {
		p.drops[port.DropNoFrame]++
		return port.Rx{}, false
	}
	fr := &p.frames[f]
	*fr = frame{
		peer: sockaddr(raw[8:36]), queue: queue, bytes: int32(payloadBytes), arrivedNanos: arrivedNanos,
		localPort: binary.NativeEndian.Uint16(raw[56:]),
		local: local{
			ip: [16]byte(raw[36:52]), ifindex: binary.NativeEndian.Uint32(raw[52:]), set: raw[58] == 1,
		},
	}
	copy(p.room(f), raw[headroomBytes:])
	return p.lend(f, payloadBytes), true
}
