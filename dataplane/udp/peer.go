package udp

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"gannet/dataplane/port"
)

// A sockaddr is an address as the kernel writes and reads it (struct sockaddr_in
// or sockaddr_in6). It is kept as received, so that a reply goes back by the same
// scope.
//
//	0 2 family, native    2 2 port, big-endian
//	IPv4: 4 4 address     IPv6: 4 4 flow   8 16 address   24 4 scope
type sockaddr [unix.SizeofSockaddrInet6]byte

func (s *sockaddr) ipv4() bool { return binary.NativeEndian.Uint16(s[:]) == unix.AF_INET }

func (s *sockaddr) lengthBytes() uint32 {
	if s.ipv4() {
		return unix.SizeofSockaddrInet4
	}
	return unix.SizeofSockaddrInet6
}

func (s *sockaddr) addr() port.Addr {
	a := port.Addr{Port: binary.BigEndian.Uint16(s[2:])}
	if s.ipv4() {
		a.IP[10], a.IP[11] = 0xff, 0xff
		copy(a.IP[12:], s[4:8])
		return a
	}
	copy(a.IP[:], s[8:24])
	return a
}

// A local is the address of this machine at which a datagram arrived, as control
// messages give it. Unset when the socket is bound to one address.
type local struct {
	ip      [16]byte
	ifindex uint32
	set     bool
}

func (l *local) linkLocal() bool { return l.ip[0] == 0xfe && l.ip[1]&0xc0 == 0x80 }
