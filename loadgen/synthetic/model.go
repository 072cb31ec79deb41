package synthetic

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"

	"gannet/loadgen/trace"
)

// Model is what is published of a cache's load, for generators that draw their own
// requests.
type Model struct {
	Name     string // as it was asked for
	Source   string // in words
	KeyBytes int    // 0 = not published
	Sizes    []SizeShare
	// ZipfS is the exponent of the popularity; where it is not a Zipf law, Popularity
	// has it.
	ZipfS      float64
	Popularity *Popularity
	WriteRatio float64 // share of the requests that store
	TTLSeconds uint32  // the most usual one; 0 = none published
}

// SizeShare is a length of values and its share of them, all shares adding up to 1.
type SizeShare struct {
	Bytes int
	Share float64
}

// Models lists the forms that OpenModel takes.
const Models = "twitter:clusterNN or cachelib:kvcache_reg"

// OpenModel finds a model by its name.
func OpenModel(name string) (*Model, error) {
	kind, which, _ := strings.Cut(name, ":")
	switch {
	case kind == "twitter":
		return twitterModel(name, which)
	case name == "cachelib:kvcache_reg":
		return cachelibModel(name)
	}
	return nil, fmt.Errorf("unknown model %q: use %s", name, Models)
}

func twitterModel(name, which string) (*Model, error) {
	c, err := findCluster(which)
	if err != nil {
		return nil, fmt.Errorf("model %q: %w", name, err)
	}
	m := &Model{
		Name: name, Source: "published statistics of Twitter's " + c.name + " (OSDI 2020)",
		KeyBytes: c.keyBytes, Sizes: []SizeShare{{c.valueBytes, 1}}, ZipfS: c.alpha,
	}
	for _, op := range c.ops {
		if op.value != trace.Get {
			m.WriteRatio += op.weight
		}
	}
	heaviest := 0.0
	for _, ttl := range c.ttls {
		if ttl.weight > heaviest {
			heaviest, m.TTLSeconds = ttl.weight, ttl.value
		}
	}
	return m, nil
}

// Popularity is a step function: shares of the keys, from the most popular on, and
// the share of the requests that each got.
type Popularity struct {
	steps []popularityStep
}

// popularityStep ends where the shares of keys and requests so far are these.
type popularityStep struct{ keys, requests float64 }

// Draw draws a place among the keys, from 0, the most popular, to below 1.
func (p *Popularity) Draw(r *rand.Rand) float64 {
	u := r.Float64()
	i := sort.Search(len(p.steps)-1, func(i int) bool { return u < p.steps[i].requests })
	var from popularityStep
	if i > 0 {
		from = p.steps[i-1]
	}
	to := p.steps[i]
	share := (u - from.requests) / (to.requests - from.requests)
	return from.keys + share*(to.keys-from.keys)
}
