package main

import (
	"cmp"
	"slices"

	"gannet/ring"
)

// spans is a set of key hashes: ranges in ascending order which do not touch.
type spans []ring.Range

func (s spans) contains(hash uint64) bool {
	i, _ := slices.BinarySearchFunc(s, hash, func(g ring.Range, hash uint64) int { return cmp.Compare(g.To, hash) })
	return i < len(s) && s[i].Contains(hash)
}

func (s spans) share() float64 {
	sum := 0.0
	for _, g := range s {
		sum += g.Share()
	}
	return sum
}

// push adds a range above all others.
func (s spans) push(g ring.Range) spans {
	if last := len(s) - 1; last >= 0 && (s[last].To >= g.From || s[last].To+1 == g.From) {
		s[last].To = max(s[last].To, g.To)
		return s
	}
	return append(s, g)
}

func union(a, b spans) spans {
	var out spans
	for len(a) > 0 || len(b) > 0 {
		if len(b) == 0 || len(a) > 0 && a[0].From <= b[0].From {
			out, a = out.push(a[0]), a[1:]
		} else {
			out, b = out.push(b[0]), b[1:]
		}
	}
	return out
}

func intersection(a, b spans) spans {
	var out spans
	for len(a) > 0 && len(b) > 0 {
		from, to := max(a[0].From, b[0].From), min(a[0].To, b[0].To)
		if from <= to {
			out = out.push(ring.Range{From: from, To: to})
		}
		if a[0].To < b[0].To {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

// without is what is in a and not in b.
func without(a, b spans) spans {
	var out spans
	for _, g := range a {
		for len(b) > 0 && b[0].To < g.From {
			b = b[1:]
		}
		rest, gone := g, false
		for _, c := range b {
			if c.From > rest.To {
				break
			}
			if c.From > rest.From {
				out = append(out, ring.Range{From: rest.From, To: c.From - 1})
			}
			if c.To >= rest.To {
				gone = true
				break
			}
			rest.From = c.To + 1
		}
		if !gone {
			out = append(out, rest)
		}
	}
	return out
}
