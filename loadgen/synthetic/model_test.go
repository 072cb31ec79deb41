package synthetic

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestModelsOpen(t *testing.T) {
	for _, name := range Clusters() {
		m, err := OpenModel("twitter:" + name)
		if err != nil || len(m.Sizes) != 1 || m.WriteRatio < 0 || m.WriteRatio > 1 || m.KeyBytes == 0 {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	m, err := OpenModel("twitter:cluster12")
	if err != nil || math.Abs(m.WriteRatio-0.8) > 1e-9 || m.TTLSeconds != 300 || m.ZipfS != 0.3048 {
		t.Errorf("cluster12: %+v, %v", m, err)
	}
	for _, name := range []string{"", "twitter:", "twitter:cluster5", "cachelib:other", "zipf:1"} {
		if _, err := OpenModel(name); err == nil {
			t.Errorf("%q opened", name)
		}
	}
}

// TestCacheLibModel holds the condensed table against what the published one gives.
func TestCacheLibModel(t *testing.T) {
	m, err := OpenModel("cachelib:kvcache_reg")
	if err != nil {
		t.Fatal(err)
	}
	mean, shares := 0.0, 0.0
	for _, s := range m.Sizes {
		mean, shares = mean+float64(s.Bytes)*s.Share, shares+s.Share
	}
	if math.Abs(mean-335.2) > 0.5 || math.Abs(shares-1) > 1e-9 {
		t.Errorf("mean size %.1f, shares %g: the published mean is 335.2", mean, shares)
	}
	// The single most popular key gets 27,638,685 of 417,229,820 requests; it is one of
	// 10,483,642.
	r := rand.New(rand.NewPCG(1, 2))
	const draws = 200_000
	first := 0
	for range draws {
		at := m.Popularity.Draw(r)
		if at < 0 || at >= 1 {
			t.Fatalf("drew %g", at)
		}
		if at < 1.0/10_483_642 {
			first++
		}
	}
	if share := float64(first) / draws; math.Abs(share-0.0662) > 0.003 {
		t.Errorf("the first key gets %.4f of the draws, published 0.0662", share)
	}
}
