package bench

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"gannet/test/lab"
)

// reflector swaps the addresses of every frame in XDP and sends it back: the peer
// that costs least.
func reflector(b *testing.B, l *lab.Lab) {
	b.Helper()
	swap := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word),
		asm.Mov.Imm(asm.R0, 2),
		asm.Mov.Reg(asm.R5, asm.R2),
		asm.Add.Imm(asm.R5, 42),
		asm.JGT.Reg(asm.R5, asm.R3, "out"),
		asm.LoadMem(asm.R4, asm.R2, 23, asm.Byte), // protocol
		asm.JNE.Imm(asm.R4, 17, "out"),
		asm.LoadMem(asm.R4, asm.R2, 36, asm.Half), // destination port
		asm.HostTo(asm.BE, asm.R4, asm.Half),
		asm.JNE.Imm(asm.R4, 7777, "out"),
	}
	exchange := func(a, b int16, size asm.Size) {
		swap = append(swap,
			asm.LoadMem(asm.R4, asm.R2, a, size), asm.LoadMem(asm.R5, asm.R2, b, size),
			asm.StoreMem(asm.R2, a, asm.R5, size), asm.StoreMem(asm.R2, b, asm.R4, size))
	}
	for _, at := range []int16{0, 2, 4} {
		exchange(at, at+6, asm.Half)
	}
	swap = append(swap, asm.Mov.Imm(asm.R0, 3), asm.Return().WithSymbol("out"))
	err := l.Server.Do(func() error {
		program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: swap})
		if err != nil {
			return err
		}
		device, err := net.InterfaceByName(lab.ServerDevice)
		if err != nil {
			return err
		}
		attached, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: device.Index, Flags: link.XDPDriverMode})
		if err == nil {
			b.Cleanup(func() { _ = attached.Close(); _ = program.Close() })
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkXDPGenerator says what a request costs the generator over veth, kernel
// included, with a peer that sends it back at once.
func BenchmarkXDPGenerator(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("missing: root")
	}
	l, err := lab.New(lab.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	reflector(b, l)
	var s *session
	err = l.Client.Do(func() (err error) {
		s, err = open(b.Context(), Options{
			Protocol: Echo, Datapath: XDP, Interface: lab.ClientDevice, Server: netip.MustParseAddrPort(lab.ServerAddr + ":7777"),
			InFlight: 256, ValueSize: Fixed(128), Duration: time.Second, CPUs: []int{1},
		})
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	for b.Loop() {
		r, err := s.offer(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(r.Threads[0].NanosPerKey, "ns/request")
		b.ReportMetric(r.Rate, "requests/s")
		b.ReportMetric(100*r.Utilisation, "%busy")
	}
}
