package shardcheck

import "testing"

func TestImbalance(t *testing.T) {
	f, err := Imbalance()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%.4f of the slabs (%s)", f.Value, f.Note)
	if f.Value < 0.95 {
		t.Errorf("%.3f of the slabs serve the new class, want 0.95", f.Value)
	}
}

func TestOverhead(t *testing.T) {
	for policy, most := range map[string]float64{"lru": 48, "default": 44} {
		f, err := Overhead(policy)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %.2f bytes an item over %d items (%s)", policy, f.Value, f.N, f.Note)
		if f.Value > most {
			t.Errorf("%s: %.2f bytes an item, want %v", policy, f.Value, most)
		}
	}
}

// TestBatchedGet checks that the measurement works; the figures are for a quiet
// machine and for make check-node.
func TestBatchedGet(t *testing.T) {
	b, err := BatchedGet(Options{Items: 100_000, Rounds: 1, Gets: 200_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", b)
	if b.AllocsPerGet > 0.001 {
		t.Errorf("%v allocations a GET", b.AllocsPerGet)
	}
}

// BenchmarkBatchedGet is the measurement itself, over a set of 16 × 32 MB.
func BenchmarkBatchedGet(b *testing.B) {
	for range b.N {
		r, err := BatchedGet(Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(r.Uniform/1e6, "uniform-M/s")
		b.ReportMetric(r.Zipf/1e6, "zipf-M/s")
		b.ReportMetric(r.Gain, "gain")
		b.ReportMetric(r.ZipfGain, "zipf-gain")
		b.ReportMetric(r.AllocsPerGet, "allocs/get")
		b.Logf("%+v", r)
	}
}
