package synthetic

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"gannet/loadgen/trace"
)

//go:embed twitter.txt
var twitterTable string

const unpublished = "n/a"

// weighted is one choice of a mix.
type weighted[T any] struct {
	value  T
	weight float64
}

// cluster is one row of the published table.
type cluster struct {
	name                 string
	keyBytes, valueBytes int
	alpha                float64
	ops                  []weighted[trace.Op]
	ttls                 []weighted[uint32]
}

var tableOps = map[string]trace.Op{
	"get": trace.Get, "gets": trace.Get, "set": trace.Put, "add": trace.Add, "replace": trace.Replace,
	"cas": trace.CompareAndSwap, "append": trace.Append, "prepend": trace.Prepend,
	"delete": trace.Delete, "incr": trace.Incr, "decr": trace.Decr,
}

var unitSeconds = map[byte]float64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400}

// Clusters lists the clusters with complete statistics.
func Clusters() []string {
	var names []string
	for line := range strings.Lines(twitterTable) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, unpublished) {
			names = append(names, strings.Fields(line)[0])
		}
	}
	return names
}

func findCluster(name string) (cluster, error) {
	for line := range strings.Lines(twitterTable) {
		fields := strings.Fields(line)
		if fields[0] != name || name == "#" {
			continue
		}
		if strings.Contains(line, unpublished) {
			return cluster{}, fmt.Errorf("%s: its statistics were not published in full: choose another, such as cluster52", name)
		}
		return parseCluster(fields)
	}
	return cluster{}, fmt.Errorf("unknown cluster %q: use cluster1 to cluster54, such as cluster52", name)
}

func parseCluster(fields []string) (c cluster, err error) {
	if len(fields) != 6 {
		return c, fmt.Errorf("embedded table: %q has %d columns, not 6", fields[0], len(fields))
	}
	c.name = fields[0]
	if c.keyBytes, err = strconv.Atoi(fields[1]); err != nil {
		return c, fmt.Errorf("embedded table: %s: key size: %w", c.name, err)
	}
	if c.valueBytes, err = strconv.Atoi(fields[2]); err != nil {
		return c, fmt.Errorf("embedded table: %s: value size: %w", c.name, err)
	}
	if c.alpha, err = strconv.ParseFloat(fields[3], 64); err != nil {
		return c, fmt.Errorf("embedded table: %s: alpha: %w", c.name, err)
	}
	if c.ops, err = parseMix(fields[4], parseOp); err != nil {
		return c, fmt.Errorf("embedded table: %s: operations: %w", c.name, err)
	}
	if c.ttls, err = parseMix(fields[5], parseTTL); err != nil {
		return c, fmt.Errorf("embedded table: %s: TTLs: %w", c.name, err)
	}
	return c, nil
}

func parseOp(name string) (trace.Op, error) {
	op, ok := tableOps[name]
	if !ok {
		return 0, fmt.Errorf("unknown operation %q", name)
	}
	return op, nil
}

func parseTTL(text string) (uint32, error) {
	last := len(text) - 1
	if last < 1 || unitSeconds[text[last]] == 0 {
		return 0, fmt.Errorf("%q has no unit s, m, h or d", text)
	}
	n, err := strconv.ParseFloat(text[:last], 64)
	return uint32(n*unitSeconds[text[last]] + 0.5), err
}

// parseMix reads "value:weight,…" and scales the weights to add up to 1, because
// the table leaves out what is under a per cent.
func parseMix[T any](text string, parse func(string) (T, error)) ([]weighted[T], error) {
	var mix []weighted[T]
	sum := 0.0
	for part := range strings.SplitSeq(text, ",") {
		name, share, _ := strings.Cut(part, ":")
		value, err := parse(name)
		if err != nil {
			return nil, err
		}
		weight, err := strconv.ParseFloat(share, 64)
		if err != nil {
			return nil, err
		}
		mix = append(mix, weighted[T]{value, weight})
		sum += weight
	}
	for i := range mix {
		mix[i].weight /= sum
	}
	return mix, nil
}

// pick chooses from a mix by a number from 0 to 1.
func pick[T any](mix []weighted[T], u float64) T {
	for _, w := range mix[:len(mix)-1] {
		if u -= w.weight; u < 0 {
			return w.value
		}
	}
	return mix[len(mix)-1].value
}
