package bpf

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// classifier is the steering program's slow twin: the same decisions, written
// to be read, one question after the other. It knows neither rates nor time.
type classifier struct {
	portBase, ports uint16
	allow           []netip.Prefix
	socket, stale   bool
}

// view is the rest of a frame and the first reason to stop.
type view struct {
	rest   []byte
	reason Reason
}

func (v *view) stop(when bool, reason Reason) {
	if v.reason == ReasonNone && when {
		v.reason = reason
	}
}

// take cuts off the next header, or stops.
func (v *view) take(size int) []byte {
	v.stop(len(v.rest) < size, PassTruncated)
	if v.reason != ReasonNone {
		return make([]byte, size)
	}
	header := v.rest[:size]
	v.rest = v.rest[size:]
	return header
}

func (c *classifier) classify(frame []byte) Reason {
	v := &view{rest: frame}
	source, datagram := v.network(v.etherType())
	v.udp(datagram, c.portBase, c.ports)
	v.request()
	v.stop(!c.allowed(source), DropSource)
	v.stop(!c.socket, PassNoSocket)
	v.stop(c.stale, PassStale)
	v.stop(true, Redirected)
	return v.reason
}

func (c *classifier) allowed(source netip.Addr) bool {
	for _, prefix := range c.allow {
		if prefix.Contains(source) {
			return true
		}
	}
	return len(c.allow) == 0
}

func (v *view) etherType() uint16 {
	eth := v.take(14)
	v.stop(eth[0]&1 == 1, PassMulticast)
	v.stop(!bytes.Equal(eth[:ethernetBytes], ownAddress), PassOtherHost)
	etherType := binary.BigEndian.Uint16(eth[12:])
	if etherType == 0x8100 {
		etherType = binary.BigEndian.Uint16(v.take(4)[2:])
	}
	return etherType
}

func (v *view) network(etherType uint16) (source netip.Addr, payloadBytes int) {
	switch etherType {
	case 0x0800:
		return v.ipv4()
	case 0x86DD:
		return v.ipv6()
	}
	v.stop(true, PassNotIP)
	return netip.Addr{}, 0
}

func (v *view) ipv4() (netip.Addr, int) {
	have := len(v.rest)
	ip := v.take(20)
	totalBytes := int(binary.BigEndian.Uint16(ip[2:]))
	v.stop(ip[0]>>4 != 4, PassIPMalformed)
	v.stop(ip[0]&15 != 5, PassIPOptions)
	v.stop(totalBytes < 20 || totalBytes > have, PassIPMalformed)
	v.stop(binary.BigEndian.Uint16(ip[6:])&0x3FFF != 0, PassFragment)
	v.stop(ip[9] != 17, PassNotUDP)
	return netip.AddrFrom4([4]byte(ip[12:16])), totalBytes - 20
}

func (v *view) ipv6() (netip.Addr, int) {
	ip := v.take(40)
	payloadBytes := int(binary.BigEndian.Uint16(ip[4:]))
	v.stop(ip[0]>>4 != 6, PassIPMalformed)
	v.stop(payloadBytes > len(v.rest), PassIPMalformed)
	switch ip[6] {
	case 17:
	case 0, 43, 44, 50, 51, 60, 135:
		v.stop(true, PassIPv6Extension)
	default:
		v.stop(true, PassNotUDP)
	}
	return netip.AddrFrom16([16]byte(ip[8:24])), payloadBytes
}

// udp leaves the payload in v.rest.
func (v *view) udp(datagramBytes int, portBase, ports uint16) {
	v.stop(datagramBytes < 8, PassTruncated)
	udp := v.take(8)
	port := binary.BigEndian.Uint16(udp[2:])
	udpBytes := int(binary.BigEndian.Uint16(udp[4:]))
	v.stop(port < portBase || port > portBase+ports-1, PassOtherPort)
	v.stop(udpBytes < 8 || udpBytes > datagramBytes, DropUDPLength)
	if v.reason == ReasonNone {
		v.rest = v.rest[:udpBytes-8]
	}
}

func (v *view) request() {
	v.stop(len(v.rest) < 120, DropShort)
	if v.reason != ReasonNone {
		return
	}
	headerBytes := int(v.rest[7]) * 8
	v.stop(v.rest[0] != 0x47 || v.rest[1] != 0x6E, DropMagic)
	v.stop(v.rest[2] != 1, DropVersion)
	v.stop(v.rest[3]&1 != 0, DropReply)
	v.stop(v.rest[3]&0xF0 != 0, DropFlags)
	v.stop(headerBytes < 96 || headerBytes > len(v.rest)-24, DropHeaderLength)
	v.stop(v.rest[6] == 0, DropNoOperation)
}
