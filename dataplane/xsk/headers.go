package xsk

import (
	"encoding/binary"

	"gannet/dataplane/port"
)

// Bytes of the headers in front of a payload.
const (
	ethernetBytes = 14
	vlanBytes     = 4
	ipv4Bytes     = 20
	ipv6Bytes     = 40
	udpBytes      = 8
	// maxHeaderBytes is the longest stack of headers that is parsed.
	maxHeaderBytes = ethernetBytes + vlanBytes + ipv6Bytes + udpBytes

	etherIPv4   = 0x0800
	etherIPv6   = 0x86dd
	etherVLAN   = 0x8100
	protocolUDP = 17
	hopLimit    = 64
)

// headers says where the parts of a packet begin, counted from its first byte.
type headers struct {
	ip      uint8 // IP header: 14, or 18 behind a VLAN tag
	payload uint8 // UDP payload
	v6      bool
	bytes   uint16 // of the UDP payload
}

func (h *headers) udp() int { return int(h.payload) - udpBytes }

// parse finds the headers of what the steering program lets through: Ethernet with
// at most one VLAN tag, IPv4 without options or fragments or IPv6 without extension
// headers, UDP. Bytes behind the IP packet are Ethernet's padding. Checksums of
// requests are not verified: local senders leave them to hardware that is not there.
func parse(packet []byte, h *headers) bool {
	if len(packet) < ethernetBytes+ipv4Bytes+udpBytes || (packet[0]|packet[6])&1 != 0 {
		return false // too short, or a group address, which nobody can answer from
	}
	kind, at := binary.BigEndian.Uint16(packet[12:]), ethernetBytes
	if kind == etherVLAN {
		kind, at = binary.BigEndian.Uint16(packet[16:]), ethernetBytes+vlanBytes
	}
	h.ip, h.v6 = uint8(at), kind == etherIPv6
	switch kind {
	case etherIPv4:
		return h.parseIPv4(packet[at:])
	case etherIPv6:
		return h.parseIPv6(packet[at:])
	}
	return false
}

func (h *headers) parseIPv4(b []byte) bool {
	if len(b) < ipv4Bytes+udpBytes || b[0] != 0x45 || b[9] != protocolUDP {
		return false
	}
	const moreOrOffset = 0x3fff
	total := int(binary.BigEndian.Uint16(b[2:]))
	if binary.BigEndian.Uint16(b[6:])&moreOrOffset != 0 || total < ipv4Bytes || total > len(b) {
		return false
	}
	return h.parseUDP(b[:total], ipv4Bytes)
}

func (h *headers) parseIPv6(b []byte) bool {
	if len(b) < ipv6Bytes+udpBytes || b[0]>>4 != 6 || b[6] != protocolUDP {
		return false
	}
	total := ipv6Bytes + int(binary.BigEndian.Uint16(b[4:]))
	return total <= len(b) && h.parseUDP(b[:total], ipv6Bytes)
}

func (h *headers) parseUDP(b []byte, at int) bool {
	if len(b) < at+udpBytes {
		return false
	}
	n := int(binary.BigEndian.Uint16(b[at+4:]))
	if n < udpBytes || n > len(b)-at {
		return false
	}
	h.payload = h.ip + uint8(at+udpBytes)
	h.bytes = uint16(n - udpBytes)
	return true
}

// readFrom reads the sender of a parsed packet.
func (h *headers) readFrom(packet []byte, a *port.Addr) {
	a.Port = binary.BigEndian.Uint16(packet[h.udp():])
	if h.v6 {
		copy(a.IP[:], packet[h.ip+8:])
		return
	}
	const mapped = 0xffff << 16 // an IPv4 address in an IPv6 one
	binary.LittleEndian.PutUint64(a.IP[:], 0)
	binary.LittleEndian.PutUint64(a.IP[8:], mapped|uint64(binary.LittleEndian.Uint32(packet[h.ip+12:]))<<32)
}

// localPort is the port to which a parsed packet went.
func (h *headers) localPort(packet []byte) uint16 {
	return binary.BigEndian.Uint16(packet[h.udp()+2:])
}
