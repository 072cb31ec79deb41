package xsk

import (
	"encoding/binary"

	"gannet/checksum"
)

// turnRound makes a request's headers those of the reply to it: addresses swapped,
// lengths and checksums written for payloadBytes whose one's-complement sum is
// payloadSum. The packet holds the headers at least.
func turnRound(packet []byte, h *headers, payloadBytes int, payloadSum uint16) {
	swap(packet[0:6], packet[6:12])
	ip, udp := packet[h.ip:h.udp()], packet[h.udp():h.payload]
	udpLength := uint16(udpBytes + payloadBytes)
	var pseudo uint16
	if h.v6 {
		pseudo = turnIPv6(ip, udpLength)
	} else {
		pseudo = turnIPv4(ip, udpLength)
	}
	swap(udp[0:2], udp[2:4])
	binary.BigEndian.PutUint16(udp[4:], udpLength)
	sum := uint32(pseudo) + uint32(payloadSum) + uint32(udpLength) +
		uint32(binary.BigEndian.Uint16(udp[0:])) + uint32(binary.BigEndian.Uint16(udp[2:]))
	binary.BigEndian.PutUint16(udp[6:], checksum.Finish(checksum.Fold(sum)))
}

// turnIPv4 returns the sum of the pseudo-header. The packet is atomic (RFC 6864):
// never fragmented, so its identification means nothing and is 0.
func turnIPv4(ip []byte, udpLength uint16) uint16 {
	swap(ip[12:16], ip[16:20])
	ip[1] &^= 3 // the request's congestion marks are not the reply's
	binary.BigEndian.PutUint16(ip[2:], ipv4Bytes+udpLength)
	binary.BigEndian.PutUint16(ip[4:], 0)
	const dontFragment = 0x4000
	binary.BigEndian.PutUint16(ip[6:], dontFragment)
	ip[8] = hopLimit
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint16(ip[10:], ^checksum.Sum(ip))
	return checksum.PseudoIPv4([4]byte(ip[12:16]), [4]byte(ip[16:20]), protocolUDP, udpLength)
}

// turnIPv6 returns the sum of the pseudo-header. The traffic class stays, but for
// its congestion marks; there is no flow label.
func turnIPv6(ip []byte, udpLength uint16) uint16 {
	swap(ip[8:24], ip[24:40])
	ip[1] &= 0xc0
	binary.BigEndian.PutUint16(ip[2:], 0)
	binary.BigEndian.PutUint16(ip[4:], udpLength)
	ip[7] = hopLimit
	return checksum.PseudoIPv6([16]byte(ip[8:24]), [16]byte(ip[24:40]), protocolUDP, uint32(udpLength))
}

// swap exchanges two pieces of one length, of at most 16 bytes.
func swap(a, b []byte) {
	var t [16]byte
	n := copy(t[:], a)
	copy(a, b)
	copy(b, t[:n])
}
