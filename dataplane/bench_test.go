package dataplane

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gannet/dataplane/port"
	"gannet/dataplane/porttest"
	"gannet/shard"
	"gannet/wire"
)

// benchItems is the number of items of the benchmarks: with 100 B values more than
// any last-level cache holds. GANNET_BENCH_ITEMS changes it.
func benchItems() int {
	if n, err := strconv.Atoi(os.Getenv("GANNET_BENCH_ITEMS")); err == nil {
		return n
	}
	return 4 << 20
}

func benchKey(b []byte, i int) []byte {
	b = append(b[:0], "benchmark-"...)
	return binary.LittleEndian.AppendUint64(b, uint64(i))
}

// filledRig is a rig with n items of 100 B.
func filledRig(tb testing.TB, n int) *rig {
	r := newRig(tb, rigOptions{
		port: porttest.Options{
			Frames: 512, FillFrames: 256, FrameBytes: 2048,
			Sink: func([]byte, []byte, port.Addr) {},
		},
		store: shard.Config{MemoryBytes: max(64<<20, int64(n)*220)},
	})
	value, key := pattern(100), []byte(nil)
	for i := range n {
		key = benchKey(key, i)
		w := shard.Write{Op: shard.Put, Hash: wire.KeyHash(key), Key: key, Value: value}
		r.store.Write(&w, r.now)
		if w.Status != shard.OK {
			tb.Fatalf("fill: item %d: status %d", i, w.Status)
		}
	}
	return r
}

// requests builds GETs of random keys, keysEach a datagram.
func (r *rig) requests(count, keysEach, items int) [][]byte {
	list := make([][]byte, count)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range list {
		ops := make([]wire.Op, keysEach)
		for k := range ops {
			ops[k] = wire.Op{Code: wire.Get, Key: benchKey(nil, rng.IntN(items))}
		}
		list[i] = datagram(r.header(), ops...)
	}
	return list
}

// BenchmarkLoopGet is the whole loop on the port in memory: 64 datagrams a batch.
// The port's own cost (Inject, a lock, two copies) is part of it; BenchmarkPortAlone
// says how much that is.
func BenchmarkLoopGet(b *testing.B) {
	items := benchItems()
	r := filledRig(b, items)
	for _, keys := range []int{1, 8} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			asks := r.requests(1<<15, keys, items)
			b.ReportAllocs()
			var inTurns time.Duration
			b.ResetTimer()
			for done := 0; done < b.N; {
				for i := range batchDatagrams {
					r.port.Inject(asks[(done/keys+i)&(1<<15-1)], r.from)
				}
				r.now += 10_000
				begun := time.Now()
				r.loop.Turn(r.now)
				inTurns += time.Since(begun)
				done += batchDatagrams * keys
			}
			b.ReportMetric(float64(inTurns)/float64(b.N), "turn-ns/op")
		})
	}
	if hits := r.store.Stats(); hits.Misses > hits.Hits/100 {
		b.Fatalf("%d misses among %d hits: not what was to be measured", hits.Misses, hits.Hits)
	}
}

// cpuNanos is the CPU time of the process so far: on a busy machine it says more
// than the wall clock.
func cpuNanos() int64 {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkPortAlone is the port in memory without a loop.
func BenchmarkPortAlone(b *testing.B) {
	r := filledRig(b, 1)
	asks := r.requests(1<<15, 1, 1<<20)
	rx := make([]port.Rx, batchDatagrams)
	tx := make([]port.Tx, batchDatagrams)
	cpu := cpuNanos()
	b.ResetTimer()
	for done := 0; done < b.N; done += batchDatagrams {
		for i := range batchDatagrams {
			r.port.Inject(asks[(done+i)&(1<<15-1)], r.from)
		}
		n := r.port.Recv(rx)
		for i := range rx[:n] {
			tx[i] = port.Tx{Frame: rx[i].Frame, Bytes: 212}
		}
		r.port.Send(tx[:n])
		_ = r.port.Flush()
	}
	b.ReportMetric(float64(cpuNanos()-cpu)/float64(b.N), "cpu-ns/op")
}

func TestATurnAllocatesNothing(t *testing.T) {
	r := filledRig(t, 1000)
	gets := r.requests(64, 3, 1000)
	gets = append(gets, r.requests(16, 1, 1000)...)
	long := datagram(r.header(), get("long"))
	puts := datagram(r.header(), put("k", "value"), get("k"), wire.Op{Code: wire.Stats})
	for at, whole := 0, pattern(20_000); at < len(whole); at += shard.UnitBytes {
		up := shard.Upload{
			Write:    shard.Write{Op: shard.Put, Hash: wire.KeyHash([]byte("long")), Key: []byte("long"), Client: 1},
			Transfer: 1, TotalBytes: len(whole), OffsetBytes: at, Data: whole[at:min(len(whole), at+shard.UnitBytes)],
		}
		r.store.UploadPart(&up, r.now)
	}
	i := 0
	allocs := testing.AllocsPerRun(2000, func() {
		r.port.Inject(gets[i%len(gets)], r.from)
		r.port.Inject(puts, r.from)
		if i%50 == 0 {
			r.port.Inject(long, r.from)
		}
		i++
		r.now += 1e6 // the board is written every 10th turn, memory every 1,000th
		r.loop.Turn(r.now)
	})
	if allocs != 0 {
		t.Errorf("%.2f allocations a turn, want none", allocs)
	}
}
