package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"gannet/bpf"
)

// Group is the ports of all shards.
type Group struct {
	Ports []*Port
	// Chooser is the program that spreads datagrams over sockets that share a port;
	// nil unless Options.Reuseport.
	Chooser *bpf.Reuseport
}

// OpenAll opens a port for each of o.Shards shards, or none.
func OpenAll(o Options) (_ *Group, err error) {
	g := &Group{}
	defer func() {
		if err != nil {
			_ = g.Close()
		}
	}()
	for i := range o.Shards {
		p, err := Open(o, i)
		if err != nil {
			return nil, err
		}
		g.Ports = append(g.Ports, p)
	}
	if o.Reuseport {
		return g, g.choose()
	}
	return g, nil
}

// choose puts the eBPF program in front of the group's sockets.
func (g *Group) choose() error {
	chooser, err := bpf.LoadReuseport(len(g.Ports))
	if err != nil {
		return fmt.Errorf("shards on one port: %w", err)
	}
	g.Chooser = chooser
	for i, p := range g.Ports {
		if err := chooser.Register(i, p.fd); err != nil {
			return fmt.Errorf("shards on one port: register shard %d: %w", i, err)
		}
	}
	if err := chooser.Attach(g.Ports[0].fd); err != nil {
		return fmt.Errorf("shards on one port: attach the chooser: %w", err)
	}
	return nil
}

// Close closes the ports and the program.
func (g *Group) Close() error {
	var errs []error
	for _, p := range g.Ports {
		errs = append(errs, p.Close())
	}
	if g.Chooser != nil {
		errs = append(errs, g.Chooser.Close())
	}
	return errors.Join(errs...)
}

// socket is an open, bound one and what was found out about it.
type socket struct {
	fd        int
	ipv4      bool   // AF_INET; otherwise AF_INET6, dual stack when bound to all
	anyLocal  bool   // bound to all addresses: replies must name theirs
	localPort uint16 // bound port
	segments  bool   // UDP GSO works
}

func openSocket(o Options, index int) (s socket, err error) {
	s, err = newSocket(o.Address)
	if err != nil {
		return s, err
	}
	defer func() {
		if err != nil {
			_ = unix.Close(s.fd)
		}
	}()
	if err := s.configure(o); err != nil {
		return s, err
	}
	return s, s.bind(o, index)
}

// newSocket prefers IPv6, which carries both. Machines without IPv6 get IPv4.
func newSocket(address netip.Addr) (socket, error) {
	const kind = unix.SOCK_DGRAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	s := socket{anyLocal: !address.IsValid() || address.IsUnspecified()}
	s.ipv4 = address.Is4()
	if !s.ipv4 {
		fd, err := unix.Socket(unix.AF_INET6, kind, 0)
		if err == nil {
			s.fd = fd
			return s, nil
		}
		if !errors.Is(err, unix.EAFNOSUPPORT) || address.IsValid() {
			return s, os.NewSyscallError("open an IPv6 socket", err)
		}
		s.ipv4 = true
	}
	fd, err := unix.Socket(unix.AF_INET, kind, 0)
	s.fd = fd
	return s, os.NewSyscallError("open an IPv4 socket", err)
}

// option is one setsockopt.
type option struct {
	name         string
	level, which int
	value        int
}

func (s *socket) configure(o Options) error {
	options := []option{
		{"SO_TIMESTAMPNS", unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1},
		{"SO_RXQ_OVFL", unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1},
	}
	if !s.ipv4 && s.anyLocal {
		only6 := 0
		if o.Address.IsValid() {
			only6 = 1 // "::" was asked for in so many words
		}
		options = append(options, option{"IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only6})
	}
	if s.anyLocal && s.ipv4 {
		options = append(options, option{"IP_PKTINFO", unix.IPPROTO_IP, unix.IP_PKTINFO, 1})
	} else if s.anyLocal {
		options = append(options, option{"IPV6_RECVPKTINFO", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1})
	}
	if o.Reuseport {
		options = append(options, option{"SO_REUSEPORT", unix.SOL_SOCKET, unix.SO_REUSEPORT, 1})
	}
	if o.BusyPollMicros > 0 {
		options = append(options, option{"SO_BUSY_POLL", unix.SOL_SOCKET, unix.SO_BUSY_POLL, o.BusyPollMicros})
	}
	for _, p := range options {
		if err := unix.SetsockoptInt(s.fd, p.level, p.which, p.value); err != nil {
			return fmt.Errorf("udp: set %s to %d: %w", p.name, p.value, err)
		}
	}
	s.segments = unix.SetsockoptInt(s.fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 0) == nil
	return s.buffers(o)
}

// buffers sets the sizes beyond the system's limits when that is allowed, up to
// them otherwise.
func (s *socket) buffers(o Options) error {
	for _, b := range []struct {
		name         string
		force, plain int
		bytes        int
	}{
		{"receive", unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, o.ReceiveBytes},
		{"send", unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, o.SendBytes},
	} {
		if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, b.force, b.bytes) == nil {
			continue
		}
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, b.plain, b.bytes); err != nil {
			return fmt.Errorf("udp: %s buffer of %d bytes: %w", b.name, b.bytes, err)
		}
	}
	return nil
}

func (s *socket) bind(o Options, index int) error {
	at := int(o.BasePort)
	if at != 0 && !o.Reuseport {
		at += index
	}
	var to unix.Sockaddr = &unix.SockaddrInet6{Port: at}
	switch {
	case s.ipv4 && o.Address.IsValid():
		to = &unix.SockaddrInet4{Port: at, Addr: o.Address.As4()}
	case s.ipv4:
		to = &unix.SockaddrInet4{Port: at}
	case o.Address.IsValid():
		to = &unix.SockaddrInet6{Port: at, Addr: o.Address.As16(), ZoneId: zoneIndex(o.Address)}
	}
	if err := unix.Bind(s.fd, to); err != nil {
		return bindError(o.Address, at, err)
	}
	return s.readPort()
}

func zoneIndex(a netip.Addr) uint32 {
	if a.Zone() == "" {
		return 0
	}
	link, err := net.InterfaceByName(a.Zone())
	if err != nil {
		return 0
	}
	return uint32(link.Index)
}

func bindError(address netip.Addr, at int, err error) error {
	where := fmt.Sprintf("UDP port %d", at)
	if address.IsValid() {
		where = netip.AddrPortFrom(address, uint16(at)).String() + " (UDP)"
	}
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("bind %s: another process has it; stop that one or choose another base port: %w", where, err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("bind %s: no interface of this machine has the address: %w", where, err)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("bind %s: ports below 1024 need CAP_NET_BIND_SERVICE: %w", where, err)
	}
	return fmt.Errorf("bind %s: %w", where, err)
}

func (s *socket) readPort() error {
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		s.localPort = uint16(a.Port)
	case *unix.SockaddrInet6:
		s.localPort = uint16(a.Port)
	}
	return nil
}
