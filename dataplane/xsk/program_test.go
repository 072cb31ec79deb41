package xsk

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"gannet/bpf"
)

// testPortBase and the seven ports after it are redirected by anyUDP.
const testPortBase = 9800

// anyUDP is a Program that redirects every UDP datagram to the test's ports, whatever
// it contains. (The real one wants well-formed requests.)
type anyUDP struct {
	sockets *ebpf.Map
	program *ebpf.Program
	link    link.Link
}

func loadAnyUDP(c bpf.SteerConfig) (Program, error) {
	sockets, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(c.Queues)})
	if err != nil {
		return nil, err
	}
	spec := &ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: anyUDPCode(sockets.FD())}
	if c.Frags {
		spec.Flags = unix.BPF_F_XDP_HAS_FRAGS
	}
	program, err := ebpf.NewProgram(spec)
	if err != nil {
		_ = sockets.Close()
		return nil, err
	}
	return &anyUDP{sockets: sockets, program: program}, nil
}

func anyUDPCode(sockets int) asm.Instructions {
	// R2 = data, R3 = data_end. Each kind of packet: bounds, protocol, port.
	kind := func(label string, protocolAt, portAt int16) asm.Instructions {
		return asm.Instructions{
			asm.Mov.Reg(asm.R5, asm.R2).WithSymbol(label),
			asm.Add.Imm(asm.R5, int32(portAt)+6),
			asm.JGT.Reg(asm.R5, asm.R3, "pass"),
			asm.LoadMem(asm.R4, asm.R2, protocolAt, asm.Byte),
			asm.JNE.Imm(asm.R4, protocolUDP, "pass"),
			asm.LoadMem(asm.R4, asm.R2, portAt, asm.Half),
			asm.HostTo(asm.BE, asm.R4, asm.Half),
			asm.JLT.Imm(asm.R4, testPortBase, "pass"),
			asm.JGT.Imm(asm.R4, testPortBase+7, "pass"),
			asm.Ja.Label("redirect"),
		}
	}
	code := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word),
		asm.Mov.Reg(asm.R5, asm.R2),
		asm.Add.Imm(asm.R5, 18),
		asm.JGT.Reg(asm.R5, asm.R3, "pass"),
		asm.LoadMem(asm.R4, asm.R2, 12, asm.Half),
		asm.HostTo(asm.BE, asm.R4, asm.Half),
		asm.JEq.Imm(asm.R4, etherIPv4, "ipv4"),
		asm.JEq.Imm(asm.R4, etherIPv6, "ipv6"),
		asm.JNE.Imm(asm.R4, etherVLAN, "pass"),
		asm.LoadMem(asm.R4, asm.R2, 16, asm.Half),
		asm.HostTo(asm.BE, asm.R4, asm.Half),
		asm.JEq.Imm(asm.R4, etherIPv4, "tagged4"),
		asm.JEq.Imm(asm.R4, etherIPv6, "tagged6"),
		asm.Mov.Imm(asm.R0, 2).WithSymbol("pass"), // XDP_PASS
		asm.Return(),
	}
	code = append(code, kind("ipv4", 23, 36)...)
	code = append(code, kind("ipv6", 20, 56)...)
	code = append(code, kind("tagged4", 27, 40)...)
	code = append(code, kind("tagged6", 24, 60)...)
	return append(code,
		asm.LoadMem(asm.R2, asm.R6, 16, asm.Word).WithSymbol("redirect"), // rx_queue_index
		asm.LoadMapPtr(asm.R1, sockets),
		asm.Mov.Imm(asm.R3, 2),
		asm.FnRedirectMap.Call(),
		asm.Return(),
	)
}

func (p *anyUDP) Attach(ifindex int, mode bpf.Mode) (err error) {
	flags := link.XDPDriverMode
	if mode == bpf.Generic {
		flags = link.XDPGenericMode
	}
	p.link, err = link.AttachXDP(link.XDPOptions{Program: p.program, Interface: ifindex, Flags: flags})
	return err
}

func (p *anyUDP) RegisterSocket(queue, fd int) error {
	return p.sockets.Put(uint32(queue), uint32(fd))
}

func (p *anyUDP) Close() error {
	if p.link != nil {
		_ = p.link.Close()
	}
	_ = p.program.Close()
	return p.sockets.Close()
}

// closing closes l with the test.
func closing(t testing.TB, l *Ladder) *Ladder {
	t.Helper()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the ladder: %v", err)
		}
	})
	return l
}
