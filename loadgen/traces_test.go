package loadgen_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gannet/loadgen"
	"gannet/loadgen/trace"
	"gannet/wire"
)

// tracesVariable names the folder with the real traces; without it they are
// looked for beside the repository.
const tracesVariable = "GANNET_TRACES"

func openTrace(t *testing.T, name, format string) *trace.Reader {
	t.Helper()
	folder := os.Getenv(tracesVariable)
	if folder == "" {
		folder = "../../shared/traces"
	}
	path := filepath.Join(folder, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no trace %s: set %s to the folder with the real traces", path, tracesVariable)
	}
	r, err := trace.Open(path, format)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// TestPublishedMissRatio: exact LRU over a real trace, through a real shard, has
// the miss ratio that another simulator found.
func TestPublishedMissRatio(t *testing.T) {
	for _, row := range []struct {
		name, format string
		items        int
		want         float64
	}{
		{"lirs/sprite.trace.gz", "keys", 707, 0.1352},
		{"corda/trace_vaultservice.gz", "int64", 9046, 0.6667},
	} {
		r, err := loadgen.ReplayInProcess(ctx, loadgen.InProcessOptions{
			Source: openTrace(t, row.name, row.format), Policy: "lru", CapacityItems: row.items,
		})
		if err != nil || math.Abs(r.MissRatio-row.want) > 0.001 || r.Corrupt+r.PutErrors != 0 {
			t.Errorf("%s, %d items: %+v, %v, want a miss ratio of %.4f", row.name, row.items, r, err, row.want)
		}
	}
}

// TestLongKeys: keys that the protocol cannot carry are replayed under others, one
// for each.
func TestLongKeys(t *testing.T) {
	long := strings.Repeat("k", 2*wire.MaxKeyBytes)
	source := gets(long+"a", long+"b", long+"a", "", "")
	r, err := loadgen.ReplayInProcess(ctx, loadgen.InProcessOptions{Source: source, CapacityItems: 10})
	if err != nil || r.Misses != 3 || r.Hits != 2 || r.PutErrors != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
