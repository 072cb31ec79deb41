package udp

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"gannet/dataplane/port"
)

// Control messages. Each is a header (length u64, level i32, type i32) and data,
// padded to 8 bytes; the length leaves the padding out.
const (
	controlHeaderBytes = unix.SizeofCmsghdr
	rxControlBytes     = 128 // time stamp 32, overflow 24, local address 40, and some to spare
	txControlBytes     = 64  // local address 40, segment size 24
)

// received is what the control messages of one datagram say.
type received struct {
	stampNanos int64 // CLOCK_REALTIME, 0 = none
	overflow   uint32
	overflowed bool // overflow was given
	local      local
}

// parseControl reads the control messages that the kernel wrote. Unknown ones are
// skipped, damaged ones end the reading.
func parseControl(b []byte, into *received) {
	for len(b) >= controlHeaderBytes {
		n := binary.NativeEndian.Uint64(b)
		if n < controlHeaderBytes || n > uint64(len(b)) {
			return
		}
		level := int32(binary.NativeEndian.Uint32(b[8:]))
		kind := int32(binary.NativeEndian.Uint32(b[12:]))
		into.take(level, kind, b[controlHeaderBytes:n])
		b = b[min((n+7)&^7, uint64(len(b))):]
	}
}

func (r *received) take(level, kind int32, data []byte) {
	switch {
	case level == unix.SOL_SOCKET && kind == unix.SO_TIMESTAMPNS && len(data) >= 16:
		r.stampNanos = int64(binary.NativeEndian.Uint64(data))*1e9 + int64(binary.NativeEndian.Uint64(data[8:]))
	case level == unix.SOL_SOCKET && kind == unix.SO_RXQ_OVFL && len(data) >= 4:
		r.overflow, r.overflowed = binary.NativeEndian.Uint32(data), true
	case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(data) >= 20:
		r.local = local{ip: [16]byte(data), ifindex: binary.NativeEndian.Uint32(data[16:]), set: true}
	case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO && len(data) >= 12:
		r.local = local{ip: [16]byte{10: 0xff, 11: 0xff}, ifindex: binary.NativeEndian.Uint32(data), set: true}
		copy(r.local.ip[12:], data[8:12])
	}
}

// appendLocal says from which address a reply shall leave. The slice has room.
func appendLocal(b []byte, l *local, ipv4Socket bool) []byte {
	if ipv4Socket {
		b = appendControlHeader(b, unix.IPPROTO_IP, unix.IP_PKTINFO, 12)
		b = append(b, 0, 0, 0, 0) // interface: by route
		b = append(b, l.ip[12:]...)
		return append(b, 0, 0, 0, 0, 0, 0, 0, 0) // header destination, then padding
	}
	b = appendControlHeader(b, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, 20)
	b = append(b, l.ip[:]...)
	if !l.linkLocal() {
		return append(b, 0, 0, 0, 0, 0, 0, 0, 0) // interface: by route; then padding
	}
	b = binary.NativeEndian.AppendUint32(b, l.ifindex)
	return append(b, 0, 0, 0, 0)
}

// appendSegment asks for UDP GSO with datagrams of the given payload.
func appendSegment(b []byte, payloadBytes int) []byte {
	b = appendControlHeader(b, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)
	b = binary.NativeEndian.AppendUint16(b, uint16(payloadBytes))
	return append(b, 0, 0, 0, 0, 0, 0)
}

func appendControlHeader(b []byte, level, kind, dataBytes int) []byte {
	b = binary.NativeEndian.AppendUint64(b, uint64(controlHeaderBytes+dataBytes))
	b = binary.NativeEndian.AppendUint32(b, uint32(level))
	return binary.NativeEndian.AppendUint32(b, uint32(kind))
}

// A realClock turns the kernel's CLOCK_REALTIME stamps into CLOCK_BOOTTIME. It
// measures the distance of the two again when a stamp is 100 ms newer than the last
// measurement, or older: so a step of the real clock is noticed at once, slewing
// within 100 ms.
type realClock struct {
	bootMinusReal int64
	measuredReal  int64
}

const remeasureNanos = 100e6

func (c *realClock) boot(realNanos int64) int64 {
	if age := realNanos - c.measuredReal; age > remeasureNanos || age < -remeasureNanos {
		c.measure()
	}
	return realNanos + c.bootMinusReal
}

// measure reads one clock between two readings of the other. The tightest of three
// tries wins: an interrupt may fall into one.
func (c *realClock) measure() {
	best := int64(1) << 62
	for range 3 {
		before := port.BootNanos()
		real := port.RealNanos()
		after := port.BootNanos()
		if after-before < best {
			best = after - before
			c.bootMinusReal = before + best/2 - real
			c.measuredReal = real
		}
	}
}
