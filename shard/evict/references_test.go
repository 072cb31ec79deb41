package evict_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"gannet/loadgen/trace"
	"gannet/shard/evict"
	"gannet/shard/evict/evicttest"
)

// reference has the miss ratios another simulator (libCacheSim aa0fc40) finds for
// 1, 5, 10 and 20 % of the unique keys, each item counting 1. best is the lowest
// of FIFO, LRU, CLOCK, SIEVE, S3-FIFO, 2Q, ARC and W-TinyLFU.
type reference struct {
	file, format      string
	capacity          [4]int
	lru, s3fifo, best [4]float64
}

var references = []reference{
	{
		"arc/OLTP.lis.zst", "arc",
		[4]int{1868, 9344, 18688, 37376},
		[4]float64{.5837, .3992, .3348, .2803},
		[4]float64{.5353, .3789, .3222, .2740},
		[4]float64{.5353, .3789, .3222, .2740},
	},
	{
		"arc/P3.lis.zst", "arc",
		[4]int{7625, 38127, 76254, 152508},
		[4]float64{.9841, .9567, .8319, .4971},
		[4]float64{.9597, .8059, .6609, .4656},
		[4]float64{.9561, .8059, .6609, .4528},
	},
	{
		"scarab/scarab-recs.trace.xz", "int64",
		[4]int{2583, 12918, 25836, 51673},
		[4]float64{.6529, .4829, .3940, .3048},
		[4]float64{.5725, .4414, .3718, .2991},
		[4]float64{.5725, .4414, .3718, .2991},
	},
	{
		"cache2k/orm-busy.trace.xz", "int32",
		[4]int{763, 3817, 7634, 15269},
		[4]float64{.2297, .1587, .1199, .0789},
		[4]float64{.2436, .1475, .1111, .0721},
		[4]float64{.2297, .1447, .1090, .0673},
	},
	{
		"corda/trace_vaultservice.gz", "int64",
		[4]int{904, 4523, 9046, 18093},
		[4]float64{.6667, .6667, .6667, .6667},
		[4]float64{.6667, .6667, .6667, .6667},
		[4]float64{.6667, .6667, .6667, .6667},
	},
	{
		"lirs/sprite.trace.gz", "keys",
		[4]int{70, 353, 707, 1415},
		[4]float64{.8367, .3438, .1352, .0779},
		[4]float64{.7876, .3282, .1386, .0831},
		[4]float64{.7876, .3282, .1352, .0777},
	},
}

func tracesDir(t *testing.T) string {
	t.Helper()
	for _, dir := range []string{os.Getenv("GANNET_TRACES"), "../../../shared/traces"} {
		if dir == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "arc")); err == nil {
			return dir
		}
	}
	t.Skip("real traces are absent: set GANNET_TRACES to their folder")
	return ""
}

// load reads a trace and numbers its keys from 1.
func load(t *testing.T, path, format string) (keys []uint32, unique int) {
	t.Helper()
	r, err := trace.Open(path, format)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	numbers := map[string]uint32{}
	var req trace.Request
	for {
		err := r.Next(&req)
		if errors.Is(err, io.EOF) {
			return keys, len(numbers)
		}
		if err != nil {
			t.Fatal(err)
		}
		n, ok := numbers[string(req.Key)]
		if !ok {
			n = uint32(len(numbers) + 1)
			numbers[string(req.Key)] = n
		}
		keys = append(keys, n)
	}
}

func missRatio(t *testing.T, policy string, capacity int, keys []uint32, unique int) float64 {
	t.Helper()
	c, err := evicttest.NewCache(policy, capacity, unique+1)
	if err != nil {
		t.Fatal(err)
	}
	return c.MissRatio(keys)
}

// TestReferenceMissRatios is the promise about miss ratios: exact LRU is exact;
// the default is never much worse than S3-FIFO or LRU and clearly better than LRU
// on average.
func TestReferenceMissRatios(t *testing.T) {
	dir := tracesDir(t)
	var sumLRU, rows float64
	for _, ref := range references {
		keys, unique := load(t, filepath.Join(dir, ref.file), ref.format)
		for i, capacity := range ref.capacity {
			if got := missRatio(t, "lru", capacity, keys, unique); got-ref.lru[i] > 0.001 || ref.lru[i]-got > 0.001 {
				t.Errorf("%s at %d: LRU %.4f, reference %.4f", ref.file, capacity, got, ref.lru[i])
			}
			got := missRatio(t, evict.Default, capacity, keys, unique)
			row := fmt.Sprintf("%-28s %7d  %.4f  / LRU %.3f  / S3-FIFO %.3f  / best %.3f",
				ref.file, capacity, got, got/ref.lru[i], got/ref.s3fifo[i], got/ref.best[i])
			t.Log(row)
			if capacity < 1000 {
				continue
			}
			sumLRU += got / ref.lru[i]
			rows++
			if got > 1.02*ref.s3fifo[i] || got > 1.09*ref.lru[i] {
				t.Error("out of bounds: ", row)
			}
		}
	}
	mean := sumLRU / rows
	t.Logf("mean ratio to LRU %.4f over %.0f rows", mean, rows)
	if mean > 0.95 {
		t.Errorf("mean ratio to LRU %.4f, want at most 0.95", mean)
	}
}
