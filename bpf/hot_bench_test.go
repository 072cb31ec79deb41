package bpf

import (
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"gannet/wire"
)

// BenchmarkHot reports the program's own time: the plain path to the shard with
// the stage out, in and empty, and in and full; then what an answer costs. A
// repeated run sees its own reply, which is no request: so an answer is measured
// by single runs, against single runs of the plain path.
func BenchmarkHot(b *testing.B) {
	good := packet{port: 9801, payload: hotMiss()}.frame(b)
	b.Run("out", func(b *testing.B) { measure(b, load(b, testConfig()).program, good) })
	b.Run("empty", func(b *testing.B) { measure(b, loadHot(b, nil).program, good) })
	b.Run("full", func(b *testing.B) {
		h := loadHot(b, nil)
		for n := range 64 {
			h.slot = -1
			h.publish(h.item(fmt.Sprint("key", n), "value"))
		}
		measure(b, h.program, good)
	})
}

// hotMiss is a plain GET for shard 1 of a key that is not published.
func hotMiss() []byte {
	key := []byte("another key")
	b := wire.AppendRequest(nil, &wire.RequestHeader{Shard: 1, KeyHash: wire.KeyHash(key), Cookie: 1})
	return wire.AppendOp(b, 0, &wire.Op{Code: wire.Get, Key: key})
}

// BenchmarkHotAnswer reports the program's time for runs whose caches are warm
// and whose frame is new each time, by the kernel's own statistics, which cost
// some 20 ns a run.
func BenchmarkHotAnswer(b *testing.B) {
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	skipUnsupported(b, explain("count run times", err))
	defer stats.Close()
	for _, valueBytes := range []int{8, 100, 1024} {
		b.Run(fmt.Sprint("value ", valueBytes), func(b *testing.B) {
			h := loadHot(b, nil)
			h.publish(h.item("a key of 16 byte", randomText(valueBytes)))
			r := h.request(client4, "a key of 16 byte", valueBytes)
			h.measureRuns(b, r.frame(b))
		})
	}
	b.Run("plain path", func(b *testing.B) {
		h := loadHot(b, nil)
		h.measureRuns(b, packet{port: 9801, payload: hotMiss()}.frame(b))
	})
}

func (h *hotBench) measureRuns(b *testing.B, frame []byte) {
	b.Helper()
	before, err := h.program.Stats()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		h.run(frame, nil)
	}
	after, err := h.program.Stats()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(after.Runtime-before.Runtime)/float64(after.RunCount-before.RunCount), "ns/packet")
	b.ReportMetric(0, "ns/op")
}
