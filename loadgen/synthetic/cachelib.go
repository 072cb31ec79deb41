package synthetic

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed cachelib.txt
var cachelibTable string

// cachelibModel reads the embedded table. Its sizes of keys are a range, 16 to 255,
// without shares; and it is look-aside: nothing is stored but what missed.
func cachelibModel(name string) (*Model, error) {
	m := &Model{Name: name, Source: "Meta's CacheLib workload kvcache_reg, condensed", Popularity: &Popularity{}}
	var values, keys, requests float64
	for line := range strings.Lines(cachelibTable) {
		var kind string
		var first, count float64
		if strings.HasPrefix(line, "#") {
			continue
		}
		if _, err := fmt.Sscan(line, &kind, &first, &count); err != nil {
			return nil, fmt.Errorf("embedded table: line %q: %w", line, err)
		}
		switch kind {
		case "size":
			values += count
			m.Sizes = append(m.Sizes, SizeShare{int(first), count})
		case "rank":
			keys, requests = keys+first, requests+count
			m.Popularity.steps = append(m.Popularity.steps, popularityStep{keys, requests})
		default:
			return nil, fmt.Errorf("embedded table: unknown kind %q", kind)
		}
	}
	for i := range m.Sizes {
		m.Sizes[i].Share /= values
	}
	for i := range m.Popularity.steps {
		m.Popularity.steps[i].keys /= keys
		m.Popularity.steps[i].requests /= requests
	}
	return m, nil
}
