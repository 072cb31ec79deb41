package porttest

import (
	"encoding/binary"

	"gannet/dataplane/port"
)

// A raw datagram starts with its addresses, which stand in the headroom:
//
//	 0  8  rawMagic
//	 8 16  peer's address
//	24  2  peer's port      26  2  local port      28  4  zero
//	32 32  zero, then the payload
const rawMagic = 0x6d656d706f727431

// Raw implements [port.Port].
func (m *Memory) Raw(f port.Frame) []byte {
	m.mustHold(f, "Raw")
	fr := &m.frames[f]
	start := int(f) * m.opt.FrameBytes
	raw := m.arena[start : start+headroomBytes+fr.bytes : start+headroomBytes+fr.bytes]
	clear(raw[:headroomBytes])
	binary.LittleEndian.PutUint64(raw, rawMagic)
	copy(raw[8:24], fr.from.IP[:])
	binary.LittleEndian.PutUint16(raw[24:], fr.from.Port)
	binary.LittleEndian.PutUint16(raw[26:], fr.localPort)
	return raw
}

// Import implements [port.Port].
func (m *Memory) Import(raw []byte, queue uint16, arrivedNanos int64) (port.Rx, bool) {
	if len(raw) < headroomBytes || len(raw) > m.opt.FrameBytes || binary.LittleEndian.Uint64(raw) != rawMagic {
		return port.Rx{}, false
	}
	f, ok := m.popFree()
	if !ok {
		return port.Rx{}, false
	}
	fr := &m.frames[f]
	*fr = frame{queue: queue, arrivedNanos: arrivedNanos, bytes: len(raw) - headroomBytes}
	copy(fr.from.IP[:], raw[8:24])
	fr.from.Port = binary.LittleEndian.Uint16(raw[24:])
	fr.localPort = binary.LittleEndian.Uint16(raw[26:])
	copy(m.room(f), raw[headroomBytes:])
	return m.hold(f, fr.bytes), true
}
