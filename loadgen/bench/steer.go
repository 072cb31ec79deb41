package bench

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// steer is the XDP program on the generator's own interface: UDP packets with one of
// the generator's ports, as destination or (sent back as they were) as source, go to
// the socket of their queue. Everything else passes.
type steer struct {
	sockets *ebpf.Map
	program *ebpf.Program
	link    link.Link
}

// Offsets in packets without VLAN tags, IPv4 options or IPv6 extension headers.
const (
	etherTypeAt    = 12
	ipv4ProtocolAt = ethernetBytes + 9
	ipv4UDPAt      = ethernetBytes + ipv4Bytes
	ipv6ProtocolAt = ethernetBytes + 6
	ipv6UDPAt      = ethernetBytes + ipv6Bytes
)

// openSteer loads the program and attaches it: natively, or else generically.
func openSteer(ifindex, queues int, ports span16, frags bool) (_ *steer, err error) {
	_ = rlimit.RemoveMemlock() // kernels since 5.11 need it not
	s := &steer{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("steer replies to the generator: %w", err), s.close())
		}
	}()
	s.sockets, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(queues)})
	if errors.Is(err, unix.EPERM) {
		return nil, fmt.Errorf("load an XDP program: %w: it needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW; --datapath udp needs nothing", os.ErrPermission)
	}
	if err != nil {
		return nil, err
	}
	spec := &ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: steerCode(s.sockets.FD(), ports)}
	if frags {
		spec.Flags = unix.BPF_F_XDP_HAS_FRAGS
	}
	if s.program, err = ebpf.NewProgram(spec); err != nil {
		return nil, err
	}
	for _, mode := range []link.XDPAttachFlags{link.XDPDriverMode, link.XDPGenericMode} {
		s.link, err = link.AttachXDP(link.XDPOptions{Program: s.program, Interface: ifindex, Flags: mode})
		if err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("attach: %w: is another XDP program on the interface? `ip link show` names it", err)
}

// span16 is a range of ports.
type span16 struct{ first, last uint16 }

func steerCode(sockets int, ports span16) asm.Instructions {
	code := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word), // data
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word), // data_end
		asm.Mov.Reg(asm.R5, asm.R2),
		asm.Add.Imm(asm.R5, ethernetBytes),
		asm.JGT.Reg(asm.R5, asm.R3, "pass"),
		asm.LoadMem(asm.R4, asm.R2, etherTypeAt, asm.Half),
		asm.HostTo(asm.BE, asm.R4, asm.Half),
		asm.JEq.Imm(asm.R4, etherIPv4, "ipv4"),
		asm.JEq.Imm(asm.R4, etherIPv6, "ipv6"),
		asm.Mov.Imm(asm.R0, 2).WithSymbol("pass"), // XDP_PASS
		asm.Return(),
	}
	code = append(code, steerPacket("ipv4", ipv4ProtocolAt, ipv4UDPAt, ports)...)
	code = append(code, steerPacket("ipv6", ipv6ProtocolAt, ipv6UDPAt, ports)...)
	return append(code,
		asm.LoadMem(asm.R2, asm.R6, 16, asm.Word).WithSymbol("redirect"), // rx_queue_index
		asm.LoadMapPtr(asm.R1, sockets),
		asm.Mov.Imm(asm.R3, 2), // where the queue has no socket: XDP_PASS
		asm.FnRedirectMap.Call(),
		asm.Return(),
	)
}

// steerPacket looks at the packets of one version of IP.
func steerPacket(label string, protocolAt, udpAt int16, ports span16) asm.Instructions {
	const destinationAt = 2
	code := asm.Instructions{
		asm.Mov.Reg(asm.R5, asm.R2).WithSymbol(label),
		asm.Add.Imm(asm.R5, int32(udpAt)+udpBytes),
		asm.JGT.Reg(asm.R5, asm.R3, "pass"),
		asm.LoadMem(asm.R4, asm.R2, protocolAt, asm.Byte),
		asm.JNE.Imm(asm.R4, protocolUDP, "pass"),
	}
	for i, at := range []int16{udpAt + destinationAt, udpAt} {
		next := label + "-source"
		if i == 1 {
			next = "pass"
		}
		load := asm.LoadMem(asm.R4, asm.R2, at, asm.Half)
		if i == 1 {
			load = load.WithSymbol(label + "-source")
		}
		code = append(code, load,
			asm.HostTo(asm.BE, asm.R4, asm.Half),
			asm.JLT.Imm(asm.R4, int32(ports.first), next),
			asm.JLE.Imm(asm.R4, int32(ports.last), "redirect"),
		)
	}
	return append(code, asm.Ja.Label("pass"))
}

func (s *steer) register(queue, fd int) error {
	if err := s.sockets.Put(uint32(queue), uint32(fd)); err != nil {
		return fmt.Errorf("register the socket of queue %d: %w", queue, err)
	}
	return nil
}

func (s *steer) close() error {
	var errs []error
	if s.link != nil {
		errs = append(errs, s.link.Close())
	}
	if s.program != nil {
		errs = append(errs, s.program.Close())
	}
	if s.sockets != nil {
		errs = append(errs, s.sockets.Close())
	}
	return errors.Join(errs...)
}
