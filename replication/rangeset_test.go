package replication

import (
	"testing"

	"pgregory.net/rapid"

	"gannet/ring"
)

// ranges draws some out of a small circle, with its ends among them.
func ranges(t *rapid.T, name string) []ring.Range {
	n := rapid.IntRange(0, 6).Draw(t, name)
	list := make([]ring.Range, n)
	for i := range list {
		a, b := rapid.Uint64Range(0, 40).Draw(t, "a"), rapid.Uint64Range(0, 40).Draw(t, "b")
		list[i] = ring.Range{From: spread(min(a, b)), To: spread(max(a, b))}
	}
	return list
}

// spread puts the upper half of the small numbers at the circle's end.
func spread(v uint64) uint64 {
	if v > 20 {
		return ^uint64(0) - (40 - v)
	}
	return v
}

func within(list []ring.Range, h uint64) bool {
	for _, g := range list {
		if g.Contains(h) {
			return true
		}
	}
	return false
}

func TestRangeSetsAreSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := ranges(t, "first"), ranges(t, "second")
		x, y := NewRangeSet(a), NewRangeSet(b)
		for v := uint64(0); v <= 40; v++ {
			h := spread(v)
			inA, inB := within(a, h), within(b, h)
			for what, pair := range map[string][2]bool{
				"itself":       {x.Contains(h), inA},
				"union":        {x.Union(y).Contains(h), inA || inB},
				"minus":        {x.Minus(y).Contains(h), inA && !inB},
				"intersection": {x.Intersect(y).Contains(h), inA && inB},
			} {
				if pair[0] != pair[1] {
					t.Fatalf("%s at %d: %v, want %v (%v and %v)", what, h, pair[0], pair[1], a, b)
				}
			}
		}
		if !x.Covers(x.Intersect(y)) || x.Covers(y) != (len(y.Minus(x)) == 0) {
			t.Fatal("covers")
		}
		for i, g := range x {
			if g.From > g.To || i > 0 && g.From <= x[i-1].To+1 {
				t.Fatalf("not in normal form: %v", x)
			}
		}
	})
}
