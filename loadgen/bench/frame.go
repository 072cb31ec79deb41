package bench

import (
	"encoding/binary"
	"net/netip"

	"gannet/checksum"
)

// Headers in front of a datagram.
const (
	ethernetBytes = 14
	ipv4Bytes     = 20
	ipv6Bytes     = 40
	udpBytes      = 8

	etherIPv4   = 0x0800
	etherIPv6   = 0x86dd
	protocolUDP = 17
	hopLimit    = 64

	mostHeaderBytes = ethernetBytes + ipv6Bytes + udpBytes
)

// route is how packets get from the generator to the server.
type route struct {
	mac, nextHop [6]byte
	from, to     netip.Addr
}

// flow is the headers of a lane's packets, ready but for lengths and checksums.
type flow struct {
	header []byte
	v6     bool
	sum    uint16 // IPv4: of the header without its length. IPv6: of addresses, protocol and ports
}

// newFlow builds them.
func newFlow(r *route, sourcePort, port uint16) flow {
	f := flow{v6: !r.to.Is4()}
	be := binary.BigEndian
	h := append(append(f.header, r.nextHop[:]...), r.mac[:]...)
	if f.v6 {
		h = be.AppendUint16(h, etherIPv6)
		h = append(h, 0x60, 0, 0, 0, 0, 0, protocolUDP, hopLimit)
	} else {
		h = be.AppendUint16(h, etherIPv4)
		h = append(h, 0x45, 0, 0, 0, 0, 0, 0x40, 0, hopLimit, protocolUDP, 0, 0) // don't fragment
	}
	h = append(append(h, r.from.AsSlice()...), r.to.AsSlice()...)
	h = be.AppendUint16(be.AppendUint16(h, sourcePort), port)
	f.header = append(h, 0, 0, 0, 0)
	if f.v6 {
		ports := h[len(h)-4:]
		f.sum = checksum.Add(checksum.PseudoIPv6(r.from.As16(), r.to.As16(), protocolUDP, 0), checksum.Sum(ports))
	} else {
		f.sum = checksum.Sum(f.header[ethernetBytes : ethernetBytes+ipv4Bytes])
	}
	return f
}

// put writes the headers in front of a payload that lies at len(f.header).
func (f *flow) put(packet []byte, payloadBytes int) {
	be := binary.BigEndian
	copy(packet, f.header)
	ip, udp := packet[ethernetBytes:], packet[len(f.header)-udpBytes:len(f.header)+payloadBytes]
	length := uint16(udpBytes + payloadBytes)
	be.PutUint16(udp[4:], length)
	if f.v6 {
		be.PutUint16(ip[4:], length)
		// The length is summed twice: in the pseudo header and in UDP's own.
		sum := checksum.Add(checksum.Add(f.sum, length), length)
		be.PutUint16(udp[6:], checksum.Finish(checksum.Add(sum, checksum.Sum(udp[udpBytes:]))))
		return
	}
	// IPv4 does without UDP's checksum: 0.
	total := ipv4Bytes + length
	be.PutUint16(ip[2:], total)
	be.PutUint16(ip[10:], ^checksum.Add(f.sum, total))
}

// parsed is what is known of a packet that came.
type parsed struct {
	source, destination uint16
	payload             []byte
}

// parse takes a packet apart, as far as the steering program lets it come.
func parse(packet []byte) (p parsed, ok bool) {
	be := binary.BigEndian
	if len(packet) < ethernetBytes+ipv4Bytes+udpBytes {
		return p, false
	}
	at := ipv4UDPAt
	switch be.Uint16(packet[etherTypeAt:]) {
	case etherIPv4:
		if packet[ethernetBytes] != 0x45 {
			return p, false
		}
	case etherIPv6:
		at = ipv6UDPAt
	default:
		return p, false
	}
	if len(packet) < at+udpBytes {
		return p, false
	}
	udp := packet[at:]
	length := int(be.Uint16(udp[4:]))
	if length < udpBytes || length > len(udp) {
		return p, false
	}
	return parsed{be.Uint16(udp), be.Uint16(udp[2:]), udp[udpBytes:length]}, true
}
