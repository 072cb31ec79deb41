package tuning

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"gannet/alloc"
	"gannet/shard"
)

// The bytes an item costs beyond key and value, when values are about 1 KB: docs/sizing.md builds on them.
func TestBytesAnItemOfAboutOneKB(t *testing.T) {
	doc, err := os.ReadFile(top + "/docs/sizing.md")
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name        string
		memoryBytes int64
		draw        func() int
	}{
		{"all of 1,024 B", 256 << 20, func() int { return 1024 }},
		// Log-normal with a mean of 1 KB, a median of 620 B and a long tail: what caches see.
		{"mixed, 1 KB on average", 2 << 30, func() int { return min(100<<10, int(1024*math.Exp(random.NormFloat64()-0.5))) }},
	} {
		if c.memoryBytes > 1<<30 && os.Getenv("FULL") == "" {
			continue // half a minute
		}
		overhead, mean := overheadOf(t, c.memoryBytes, c.draw)
		t.Logf("%s: %.1f bytes an item beyond key and value (values %.0f B on average)", c.name, overhead, mean)
		_, row, found := strings.Cut(string(doc), "| "+c.name+" | ")
		var written float64
		if n, _ := fmt.Sscan(row, &written); !found || n != 1 || math.Abs(written-overhead) > 0.1*overhead {
			t.Errorf("docs/sizing.md says %.0f for %q, measured %.1f", written, c.name, overhead)
		}
	}
}

// overheadOf fills a shard until it evicts, and then half as much again.
func overheadOf(t *testing.T, memoryBytes int64, draw func() int) (overheadBytes, valueBytes float64) {
	t.Helper()
	s, _, err := shard.Open(shard.Config{MemoryBytes: memoryBytes, Huge: alloc.Never, NUMANode: alloc.NoNUMA, MaxValueBytes: 100 << 10}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	value, key := make([]byte, 100<<10), make([]byte, 16)
	st := s.Stats()
	for n := uint64(0); st.ByDrop[shard.DropMemory] < st.Items/2+1; n++ {
		binary.BigEndian.PutUint64(key, n)
		w := shard.Write{Op: shard.Put, Hash: shard.Hash(key), Key: key, Value: value[:draw()]}
		if s.Write(&w, 1); w.Status != shard.OK {
			t.Fatalf("put: status %d", w.Status)
		}
		if n%10000 == 0 {
			st = s.Stats()
		}
	}
	st = s.Stats()
	return float64(st.TotalBytes-st.KeyBytes-st.ValueBytes) / float64(st.Items), float64(st.ValueBytes) / float64(st.Items)
}
