package bpf

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// BenchmarkSteer reports the program's own time, as the kernel measures it
// over repeated test runs, beside that of a program that only passes.
func BenchmarkSteer(b *testing.B) {
	good := packet{}.frame(b)
	limited := testConfig()
	limited.Rate = Rate{PacketsPerSecond: MaxPacketsPerSecond, Burst: 1 << 30}
	listed := testConfig()
	listed.Allow = prefixes("10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32")
	for _, c := range []struct {
		name  string
		cfg   SteerConfig
		frame []byte
	}{
		{"other port", testConfig(), packet{port: 53}.frame(b)},
		{"not IP", testConfig(), changed(good, 12, 0x08, 0x06)},
		{"bad magic", testConfig(), changed(good, payloadAt4, 0)},
		{"redirect IPv4", testConfig(), good},
		{"redirect IPv6", testConfig(), packet{source: client6}.frame(b)},
		{"redirect, allow-list", listed, good},
		{"redirect, rate", limited, good},
	} {
		b.Run(c.name, func(b *testing.B) { measure(b, load(b, c.cfg).program, c.frame) })
	}
	b.Run("nothing", func(b *testing.B) { measure(b, passProgram(b), good) })
}

// repeatsPerCall is large enough to run out of cold caches. A repeated run
// keeps the metadata of the one before, so that all redirects but the first
// few find no more room for it, and count that instead of writing it.
const repeatsPerCall = 100_000

func measure(b *testing.B, program *ebpf.Program, frame []byte) {
	b.Helper()
	var total time.Duration
	calls := 0
	for b.Loop() {
		_, perRun, err := program.Benchmark(frame, repeatsPerCall, nil)
		if err != nil {
			b.Fatal(err)
		}
		total += perRun
		calls++
	}
	b.ReportMetric(float64(total.Nanoseconds())/float64(calls), "ns/packet")
	b.ReportMetric(0, "ns/op") // of the system call, which means nothing here
}

func passProgram(b *testing.B) *ebpf.Program {
	b.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()}})
	skipUnsupported(b, explain("load a program that passes", err))
	b.Cleanup(func() { _ = program.Close() })
	return program
}
