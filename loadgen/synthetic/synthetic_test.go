package synthetic

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gannet/loadgen/trace"
)

// TestZipfFollowsTheLaw compares drawn shares with exact ones.
func TestZipfFollowsTheLaw(t *testing.T) {
	const ranks, draws = 1000, 400_000
	for _, alpha := range []float64{0, 0.5, 0.99, 1, 1.2, 2.7} {
		z, err := NewZipf(alpha, ranks)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, uint64(alpha*100)))
		var seen [ranks + 1]float64
		for range draws {
			seen[z.Draw(r)]++
		}
		sum := 0.0
		for k := 1; k <= ranks; k++ {
			sum += math.Pow(float64(k), -alpha)
		}
		for _, k := range []int{1, 2, 3, 10, 100, 1000} {
			want := math.Pow(float64(k), -alpha) / sum * draws
			if math.Abs(seen[k]-want) > 5*math.Sqrt(want)+2 {
				t.Errorf("alpha %v rank %d: drawn %.0f, want %.0f", alpha, k, seen[k], want)
			}
		}
	}
}

func TestZipfOfOneKey(t *testing.T) {
	z, err := NewZipf(0.9, 1)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		if k := z.Draw(r); k != 1 {
			t.Fatalf("drew %d of 1", k)
		}
	}
}

func stream(t *testing.T, spec string, seed uint64, n int) string {
	t.Helper()
	g, err := Open(spec, seed)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	var req trace.Request
	for range n {
		if err := g.Next(&req); err != nil {
			t.Fatal(err)
		}
		b.WriteString(req.Op.String())
		b.Write(req.Key)
	}
	return b.String()
}

func TestSameSeedSameStream(t *testing.T) {
	first := stream(t, "twitter:cluster52", 7, 1000)
	if first != stream(t, "twitter:cluster52", 7, 1000) {
		t.Error("the same seed gave two streams")
	}
	if first == stream(t, "twitter:cluster52", 8, 1000) {
		t.Error("two seeds gave one stream")
	}
}

// TestClusterMixes holds a stream against the row it comes from.
func TestClusterMixes(t *testing.T) {
	g, err := Open("twitter:cluster52,keys=100000", 1)
	if err != nil {
		t.Fatal(err)
	}
	const n = 200_000
	ops := map[trace.Op]float64{}
	ttlOf := map[string]uint32{}
	var req trace.Request
	for range n {
		if err := g.Next(&req); err != nil {
			t.Fatal(err)
		}
		ops[req.Op]++
		if ttl, ok := ttlOf[string(req.Key)]; ok && ttl != req.TTLSeconds {
			t.Fatalf("key %s has TTL %d and %d", req.Key, ttl, req.TTLSeconds)
		}
		ttlOf[string(req.Key)] = req.TTLSeconds
		if len(req.Key) != 20 || req.ValueBytes != 273 {
			t.Fatalf("sizes %d and %d, published 20 and 273", len(req.Key), req.ValueBytes)
		}
	}
	for op, want := range map[trace.Op]float64{trace.Get: 0.93 / 0.99, trace.Add: 0.04 / 0.99, trace.CompareAndSwap: 0.02 / 0.99} {
		if got := ops[op] / n; math.Abs(got-want) > 0.005 {
			t.Errorf("%s: %.3f of the stream, want %.3f", op, got, want)
		}
	}
	if !strings.Contains(g.Describe(), "synthetic") {
		t.Errorf("description %q", g.Describe())
	}
}

func TestEveryPublishedClusterOpens(t *testing.T) {
	names := Clusters()
	if len(names) != 51 {
		t.Errorf("%d clusters with complete statistics, want 51", len(names))
	}
	for _, name := range names {
		if _, err := Open("twitter:"+name, 1); err != nil {
			t.Error(err)
		}
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	g, err := Open("zipf:0.99,keys=1000000,value=64", 1)
	if err != nil {
		t.Fatal(err)
	}
	var req trace.Request
	if n := testing.AllocsPerRun(1000, func() { _ = g.Next(&req) }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func TestSpecificationErrors(t *testing.T) {
	for spec, want := range map[string]string{
		"":                         "unknown kind",
		"twitter:cluster99":        "unknown cluster",
		"twitter:#":                "unknown cluster",
		"twitter:cluster5":         "not published in full",
		"twitter:cluster1,value=1": "unknown option",
		"zipf:x":                   "not a number",
		"zipf:-1":                  "use a number from 0 to 20",
		"zipf:NaN":                 "use a number from 0 to 20",
		"zipf:1,keys=0":            "use a number from 1",
		"zipf:1,value=9999999":     "use a number from 0",
		"zipf:1,colour=red":        "unknown option",
	} {
		if _, err := Open(spec, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", spec, err, want)
		}
	}
}
