package replication

import (
	"cmp"
	"slices"

	"gannet/ring"
)

// RangeSet is a set of key hashes: ranges in ascending order that neither overlap nor
// touch. It is immutable.
type RangeSet []ring.Range

// NewRangeSet makes a set of any ranges.
func NewRangeSet(ranges []ring.Range) RangeSet {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(a, b ring.Range) int { return cmp.Compare(a.From, b.From) })
	var set RangeSet
	for _, g := range sorted {
		set = set.push(g)
	}
	return set
}

// push adds a range that begins at or after the last one.
func (s RangeSet) push(g ring.Range) RangeSet {
	if g.From > g.To {
		return s
	}
	if last := len(s) - 1; last >= 0 && (s[last].To == ^uint64(0) || g.From <= s[last].To+1) {
		s[last].To = max(s[last].To, g.To)
		return s
	}
	return append(s, g)
}

// Contains tells whether the hash is in the set.
func (s RangeSet) Contains(hash uint64) bool {
	i, found := slices.BinarySearchFunc(s, hash, func(g ring.Range, h uint64) int {
		switch {
		case g.To < h:
			return -1
		case g.From > h:
			return 1
		}
		return 0
	})
	return found && i < len(s)
}

// Union is the hashes in either.
func (s RangeSet) Union(o RangeSet) RangeSet {
	return NewRangeSet(slices.Concat(s, o))
}

// Minus is the hashes in s and not in o.
func (s RangeSet) Minus(o RangeSet) RangeSet {
	if len(o) == 0 {
		return s
	}
	if o.Covers(s) {
		return nil
	}
	out := make(RangeSet, 0, len(s)+1)
	for _, g := range s {
		for len(o) > 0 && o[0].To < g.From {
			o = o[1:]
		}
		out = appendMinus(out, g, o)
	}
	return out
}

func appendMinus(out RangeSet, g ring.Range, o RangeSet) RangeSet {
	for _, cut := range o {
		if cut.From > g.To {
			break
		}
		if cut.From > g.From {
			out = append(out, ring.Range{From: g.From, To: cut.From - 1})
		}
		if cut.To >= g.To {
			return out
		}
		g.From = max(g.From, cut.To+1)
	}
	return append(out, g)
}

// Intersect is the hashes in both.
func (s RangeSet) Intersect(o RangeSet) RangeSet {
	if o.Covers(s) {
		return s
	}
	if s.Covers(o) {
		return o
	}
	var out RangeSet
	for len(s) > 0 && len(o) > 0 {
		if g := (ring.Range{From: max(s[0].From, o[0].From), To: min(s[0].To, o[0].To)}); g.From <= g.To {
			out = append(out, g)
		}
		if s[0].To < o[0].To {
			s = s[1:]
		} else {
			o = o[1:]
		}
	}
	return out
}

// Covers tells whether all of o is in s. It allocates nothing.
func (s RangeSet) Covers(o RangeSet) bool {
	if sameSet(s, o) {
		return true
	}
	for _, g := range o {
		for len(s) > 0 && s[0].To < g.From {
			s = s[1:]
		}
		if len(s) == 0 || s[0].From > g.From || s[0].To < g.To {
			return false
		}
	}
	return true
}

// Equal tells whether both hold the same hashes.
func (s RangeSet) Equal(o RangeSet) bool { return slices.Equal(s, o) }
