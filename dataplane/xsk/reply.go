package xsk

import (
	"encoding/binary"
	"math/bits"

	"gannet/checksum"
)

// turnRound makes a request's headers those of the reply to it: addresses swapped,
// lengths and checksums written for payloadBytes whose one's-complement sum is
// payloadSum. The packet holds the headers at least. It reads and writes whole
// words, and sums them in their registers: reading back what was just written in
// smaller pieces would stall.
func turnRound(packet []byte, h *headers, payloadBytes int, payloadSum uint16) {
	turnEthernet(packet)
	ip, udp := packet[h.ip:h.udp()], packet[h.udp():h.payload]
	udpLength := uint16(udpBytes + payloadBytes)
	var sum uint32
	if h.v6 {
		sum = turnIPv6(ip, udpLength)
	} else {
		sum = turnIPv4(ip, udpLength)
	}
	ports := binary.BigEndian.Uint32(udp)
	sum += ports>>16 + ports&0xffff + uint32(udpLength) + uint32(payloadSum)
	binary.BigEndian.PutUint32(udp, bits.RotateLeft32(ports, 16))
	binary.BigEndian.PutUint32(udp[4:], uint32(udpLength)<<16|uint32(checksum.Finish(checksum.Fold(sum))))
}

// turnEthernet swaps the addresses. What follows them stays.
func turnEthernet(packet []byte) {
	packet = packet[:ethernetBytes]
	head, rest := binary.LittleEndian.Uint64(packet), binary.LittleEndian.Uint32(packet[8:])
	const address = 1<<48 - 1
	to, from := head&address, head>>48|uint64(rest)<<16
	binary.LittleEndian.PutUint64(packet, from|to<<48)
	binary.LittleEndian.PutUint32(packet[8:], uint32(to>>16))
}

// turnIPv4 returns the sum of the pseudo-header, not folded. The packet is atomic
// (RFC 6864): never fragmented, so its identification means nothing and is 0. The
// request's congestion marks are not the reply's.
func turnIPv4(ip []byte, udpLength uint16) uint32 {
	ip = ip[:ipv4Bytes]
	const (
		dontFragment = 0x4000
		life         = hopLimit<<8 | protocolUDP
	)
	source, destination := binary.BigEndian.Uint32(ip[12:]), binary.BigEndian.Uint32(ip[16:])
	addresses := source>>16 + source&0xffff + destination>>16 + destination&0xffff
	class, total := uint32(ip[1]&^3), uint32(ipv4Bytes+udpLength)
	sum := checksum.Fold(0x4500 + class + total + dontFragment + life + addresses)
	binary.BigEndian.PutUint64(ip, 0x45<<56|uint64(class)<<48|uint64(total)<<32|dontFragment)
	binary.BigEndian.PutUint32(ip[8:], life<<16|uint32(^sum))
	binary.BigEndian.PutUint64(ip[12:], uint64(destination)<<32|uint64(source))
	return addresses + protocolUDP + uint32(udpLength)
}

// turnIPv6 does the same for IPv6. The traffic class stays, but for its congestion
// marks; there is no flow label.
func turnIPv6(ip []byte, udpLength uint16) uint32 {
	ip = ip[:ipv6Bytes]
	a, b := binary.LittleEndian.Uint64(ip[8:]), binary.LittleEndian.Uint64(ip[16:])
	c, d := binary.LittleEndian.Uint64(ip[24:]), binary.LittleEndian.Uint64(ip[32:])
	var addresses checksum.Words
	addresses.Add6(a, b, c, d, 0, 0)
	binary.BigEndian.PutUint64(ip, uint64(ip[0])<<56|uint64(ip[1]&0xc0)<<48|uint64(udpLength)<<16|protocolUDP<<8|hopLimit)
	binary.LittleEndian.PutUint64(ip[8:], c)
	binary.LittleEndian.PutUint64(ip[16:], d)
	binary.LittleEndian.PutUint64(ip[24:], a)
	binary.LittleEndian.PutUint64(ip[32:], b)
	return uint32(addresses.Sum()) + protocolUDP + uint32(udpLength)
}
