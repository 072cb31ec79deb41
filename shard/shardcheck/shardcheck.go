// Package shardcheck measures a shard: the figures that `make check-node`
// prints and that the package's benchmarks are checked against. Each function
// opens shards of its own in anonymous memory and leaves nothing behind.
package shardcheck

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sort"
	"time"

	"golang.org/x/sys/unix"

	"gannet/alloc"
	"gannet/shard"
)

// Figure is one measured value.
type Figure struct {
	Value float64
	N     int64  // how many operations or items it rests on
	Note  string // how it was measured, in a few words
}

// Options bound the effort of BatchedGet.
type Options struct {
	Items  int // 0 = enough for 16 × a last-level cache of 32 MB
	Rounds int // 0 = 7; batched and unbatched take turns
	Gets   int // in each round; 0 = 2,000,000
}

func open(cfg shard.Config) (*shard.Shard, error) {
	cfg.NUMANode = alloc.NoNUMA
	s, _, err := shard.Open(cfg, 1)
	return s, err
}

// key writes the 16-byte key of item i.
func key(buf []byte, i uint64) []byte {
	const hex = "0123456789abcdef"
	for p := 15; p >= 0; p-- {
		buf[p] = hex[i&15]
		i >>= 4
	}
	return buf[:16]
}

func put(s *shard.Shard, k, v []byte, now int64) error {
	w := shard.Write{Op: shard.Put, Hash: shard.Hash(k), Key: k, Value: v}
	s.Write(&w, now)
	if w.Status != shard.OK {
		return fmt.Errorf("put: status %d", w.Status)
	}
	return nil
}

// Imbalance returns the share of all slabs that serve the new class after a
// load has shifted from 200 B to 2 KB values: first the memory is filled twice
// over with small values, then as many bytes of large ones are written.
func Imbalance() (Figure, error) {
	const memory = 128 << 20
	s, err := open(shard.Config{MemoryBytes: memory, Huge: alloc.Never})
	if err != nil {
		return Figure{}, err
	}
	defer s.Close()
	var buf [16]byte
	writes := int64(0)
	for _, size := range []int{200, 2048} {
		value := make([]byte, size)
		for bytes := 0; bytes < 2*memory; bytes += size {
			writes++
			if err := put(s, key(buf[:], uint64(writes)), value, 1); err != nil {
				return Figure{}, err
			}
		}
	}
	st := s.Stats()
	most := shard.ClassStats{}
	for _, c := range st.Classes {
		if c.SlotBytes >= 2048 && c.Slabs > most.Slabs {
			most = c
		}
	}
	return Figure{
		Value: float64(most.Slabs) / float64(st.SlabsTotal), N: writes,
		Note: fmt.Sprintf("%d of %d slabs, %d moved", most.Slabs, st.SlabsTotal, st.SlabMoves),
	}, s.Integrity(false)
}

// Overhead returns the bytes an item costs beyond its key (16 B) and value (100
// B) when memory is full and items are being evicted: all memory the shard
// holds, whatever it is for, less keys and values, for each item.
func Overhead(policy string) (Figure, error) {
	const memory = 128 << 20
	s, err := open(shard.Config{MemoryBytes: memory, Policy: policy, Huge: alloc.Never})
	if err != nil {
		return Figure{}, err
	}
	defer s.Close()
	value := make([]byte, 100)
	var buf [16]byte
	st := s.Stats()
	n := uint64(0)
	for evicted := uint64(0); evicted < st.Items/2+1; evicted = st.ByDrop[shard.DropMemory] {
		for range 10000 {
			n++
			if err := put(s, key(buf[:], n), value, 1); err != nil {
				return Figure{}, err
			}
		}
		s.Stats()
	}
	used := st.TotalBytes
	return Figure{
		Value: float64(used-st.KeyBytes-st.ValueBytes) / float64(st.Items), N: int64(st.Items),
		Note: fmt.Sprintf("%d bytes of %d in use: index %d, policy %d, tables %d", used, memory, st.IndexBytes, st.PolicyBytes, st.TableBytes),
	}, nil
}

// Batched is the result of BatchedGet; rates are GETs a second of CPU
// time on one core, medians over the rounds.
type Batched struct {
	Uniform, Zipf                   float64 // batches of 64
	UniformUnbatched, ZipfUnbatched float64 // the same keys, one at a time
	Gain, ZipfGain                  float64 // batched ÷ unbatched
	AllocsPerGet                    float64
	Items                           int
	SetBytes                        int64  // slots in use
	Gets                            int64  // in all
	Fallback                        string // why there were no 2 MiB pages
}

// BatchedGet measures GETs of 64 B items (16 B keys, 48 B values) over a set of
// at least 16 × 32 MB, uniform and Zipf 0.99, batched and one at a time.
func BatchedGet(o Options) (Batched, error) {
	if o.Items == 0 {
		o.Items = 6_200_000
	}
	if o.Rounds == 0 {
		o.Rounds = 7
	}
	if o.Gets == 0 {
		o.Gets = 2_000_000
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if giveBack, err := alloc.BorrowHugePages(int64(o.Items)*130 + 128<<20); err == nil {
		defer giveBack() // without them Fallback says so
	}
	s, fallback, err := filled(o.Items)
	if err != nil {
		return Batched{}, err
	}
	defer s.Close()
	b := Batched{Items: o.Items, SetBytes: s.Stats().SlotBytes, Fallback: fallback}
	b.Uniform, b.UniformUnbatched, b.Gain, b.AllocsPerGet = compare(s, uniform(o.Items, o.Gets), o.Rounds)
	b.Zipf, b.ZipfUnbatched, b.ZipfGain, _ = compare(s, zipf(o.Items, o.Gets), o.Rounds)
	b.Gets = int64(4 * o.Rounds * o.Gets)
	return b, nil
}

func filled(items int) (*shard.Shard, string, error) {
	memory := int64(items)*130 + 32<<20
	s, rec, err := shard.Open(shard.Config{MemoryBytes: memory, NUMANode: alloc.NoNUMA, Prefault: true}, 1)
	if err != nil {
		return nil, "", err
	}
	var buf [16]byte
	value := make([]byte, 48)
	for i := range items {
		binary.LittleEndian.PutUint64(value, uint64(i))
		if err := put(s, key(buf[:], uint64(i)), value, 1); err != nil {
			return nil, "", err
		}
	}
	if n := s.Len(); n != items {
		return nil, "", fmt.Errorf("%d of %d items stored: give the shard more memory", n, items)
	}
	return s, rec.Fell, nil
}

// sequence is a list of keys with their hashes, made before the clock runs: a
// shard gets both from the datagram.
type sequence struct {
	keys   []byte
	hashes []uint64
}

func newSequence(n int, next func() uint64) sequence {
	q := sequence{make([]byte, 16*n), make([]uint64, n)}
	for i := range n {
		q.hashes[i] = shard.Hash(key(q.keys[16*i:], next()))
	}
	return q
}

func (q *sequence) set(g *shard.Get, i int) {
	g.Hash, g.Key = q.hashes[i], q.keys[16*i:16*i+16]
}

// compare runs both ways in turns and returns the medians and their ratio.
func compare(s *shard.Shard, q sequence, rounds int) (batched, single, gain, allocs float64) {
	var b, u, ratio []float64
	gets := make([]shard.Get, 64)
	var before, after runtime.MemStats
	for range rounds {
		runtime.ReadMemStats(&before)
		fast := rate(len(q.hashes), func() { runBatched(s, &q, gets) })
		runtime.ReadMemStats(&after)
		slow := rate(len(q.hashes), func() { runSingle(s, &q, &gets[0]) })
		b, u, ratio = append(b, fast), append(u, slow), append(ratio, fast/slow)
		allocs = max(allocs, float64(after.Mallocs-before.Mallocs)/float64(len(q.hashes)))
	}
	return median(b), median(u), median(ratio), allocs
}

// rate is by the CPU time of the thread, which neighbours on a busy machine do
// not take away.
func rate(n int, run func()) float64 {
	start := threadNanos()
	run()
	return float64(n) * 1e9 / float64(threadNanos()-start)
}

func threadNanos() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return time.Now().UnixNano()
	}
	return ts.Nano()
}

func runBatched(s *shard.Shard, q *sequence, gets []shard.Get) {
	for at := 0; at+len(gets) <= len(q.hashes); at += len(gets) {
		for i := range gets {
			q.set(&gets[i], at+i)
		}
		s.GetBatch(gets, 1)
	}
}

func runSingle(s *shard.Shard, q *sequence, g *shard.Get) {
	for i := range q.hashes {
		q.set(g, i)
		s.Get(g, 1)
	}
}

func median(v []float64) float64 {
	sort.Float64s(v)
	return v[len(v)/2]
}
