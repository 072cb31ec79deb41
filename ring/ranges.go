package ring

import (
	"iter"
	"slices"
)

// Range is a stretch of key hashes, both ends included. It does not go around the
// circle's end: From ≤ To.
type Range struct{ From, To uint64 }

// Contains tells whether the hash is in the range.
func (g Range) Contains(hash uint64) bool { return g.From <= hash && hash <= g.To }

// Share is the range's part of the circle.
func (g Range) Share() float64 { return (float64(g.To-g.From) + 1) / circle }

const circle = 1 << 64

// arcs yields the stretches between points in ascending order, with the point that
// each belongs to; together they are the circle. It needs a point.
func (r *Ring) arcs(yield func(Range, int) bool) {
	from := uint64(0)
	for i, place := range r.places {
		if i > 0 && place == r.places[i-1] {
			continue // nothing lies between
		}
		if !yield(Range{from, place}, i) {
			return
		}
		from = place + 1
	}
	if from != 0 {
		yield(Range{from, ^uint64(0)}, 0)
	}
}

// Arcs yields the ranges of equal replica sets in ascending order, with the ids of
// their replicas, leader first. Neighbours differ in their sets. The slice is good
// until the next step.
func (r *Ring) Arcs() iter.Seq2[Range, []uint64] {
	return func(yield func(Range, []uint64) bool) {
		if len(r.places) == 0 {
			return
		}
		ids := make([]uint64, 0, r.replicas)
		r.mergedArcs(func(g Range, point int) bool {
			ids = r.appendIDs(ids[:0], point)
			return yield(g, ids)
		})
	}
}

// mergedArcs is arcs with neighbours of equal sets put together.
func (r *Ring) mergedArcs(yield func(Range, int) bool) {
	var open Range
	openPoint, more := -1, true
	r.arcs(func(g Range, point int) bool {
		switch {
		case openPoint >= 0 && slices.Equal(r.set(openPoint), r.set(point)):
			open.To = g.To
		default:
			more = openPoint < 0 || yield(open, openPoint)
			open, openPoint = g, point
		}
		return more
	})
	if more {
		yield(open, openPoint)
	}
}

func (r *Ring) appendIDs(dst []uint64, point int) []uint64 {
	for _, i := range r.set(point) {
		if i != none {
			dst = append(dst, r.members[i].ID)
		}
	}
	return dst
}

// RangesOf are the ranges that a member leads, in ascending order.
func (r *Ring) RangesOf(id uint64) []Range {
	return r.rangesWhere(func(replicas []uint64) bool { return len(replicas) > 0 && replicas[0] == id })
}

// FollowedBy are the ranges that a member follows, in ascending order.
func (r *Ring) FollowedBy(id uint64) []Range {
	return r.rangesWhere(func(replicas []uint64) bool { return slices.Index(replicas, id) > 0 })
}

// RangesBetween are the ranges that one member leads and another follows: what a
// replication stream between the two carries.
func (r *Ring) RangesBetween(leader, follower uint64) []Range {
	return r.rangesWhere(func(replicas []uint64) bool {
		return len(replicas) > 0 && replicas[0] == leader && slices.Index(replicas, follower) > 0
	})
}

func (r *Ring) rangesWhere(take func(replicas []uint64) bool) []Range {
	var ranges []Range
	for g, replicas := range r.Arcs() {
		if !take(replicas) {
			continue
		}
		if last := len(ranges) - 1; last >= 0 && ranges[last].To+1 == g.From {
			ranges[last].To = g.To
			continue
		}
		ranges = append(ranges, g)
	}
	return ranges
}

// Peers are the ids of the members that share a range with this one, as its
// followers or as their leader, in ascending order.
func (r *Ring) Peers(id uint64) (followers, leaders []uint64) {
	followerOf, leaderOf := map[uint64]bool{}, map[uint64]bool{}
	for _, replicas := range r.Arcs() {
		switch slices.Index(replicas, id) {
		case -1:
		case 0:
			for _, f := range replicas[1:] {
				followerOf[f] = true
			}
		default:
			leaderOf[replicas[0]] = true
		}
	}
	return sortedKeys(followerOf), sortedKeys(leaderOf)
}

func sortedKeys(set map[uint64]bool) []uint64 {
	keys := make([]uint64, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
