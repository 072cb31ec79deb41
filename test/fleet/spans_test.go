package main

import (
	"testing"

	"gannet/ring"
	"pgregory.net/rapid"
)

// genSpans draws a set near both ends and in the middle.
func genSpans(t *rapid.T, name string) spans {
	base := rapid.SampledFrom([]uint64{0, 1 << 32, ^uint64(0) - 63}).Draw(t, name+" base")
	bits := rapid.Uint64().Draw(t, name)
	var s spans
	for i := range uint64(64) {
		if bits>>i&1 == 1 {
			s = s.push(ring.Range{From: base + i, To: base + i})
		}
	}
	return s
}

func TestSpansAreSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genSpans(t, "a"), genSpans(t, "b")
		both, either, only := intersection(a, b), union(a, b), without(a, b)
		for _, base := range []uint64{0, 1 << 32, ^uint64(0) - 63} {
			for i := range uint64(64) {
				h := base + i
				inA, inB := a.contains(h), b.contains(h)
				if both.contains(h) != (inA && inB) || either.contains(h) != (inA || inB) || only.contains(h) != (inA && !inB) {
					t.Fatalf("%x: in a %v, in b %v; both %v, either %v, only a %v", h, inA, inB, both, either, only)
				}
			}
		}
		if sum := both.share() + only.share() - a.share(); sum > 1e-12 || sum < -1e-12 {
			t.Fatal("shares do not add up")
		}
	})
}
