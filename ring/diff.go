package ring

import "slices"

// Move is a range whose replica set differs between two rings: the ids of its
// members before and after, leader first.
type Move struct {
	Range
	From, To []uint64
}

// LeaderChanged tells whether another member leads the range.
func (m *Move) LeaderChanged() bool { return leaderOf(m.From) != leaderOf(m.To) }

// Gaining appends the ids of those that hold the range after but not before: they
// need its items.
func (m *Move) Gaining(dst []uint64) []uint64 { return appendWithout(dst, m.To, m.From) }

// Losing appends the ids of those that hold the range before but not after.
func (m *Move) Losing(dst []uint64) []uint64 { return appendWithout(dst, m.From, m.To) }

func leaderOf(set []uint64) uint64 {
	if len(set) == 0 {
		return 0
	}
	return set[0]
}

func appendWithout(dst, list, without []uint64) []uint64 {
	for _, id := range list {
		if !slices.Contains(without, id) {
			dst = append(dst, id)
		}
	}
	return dst
}

// Diff lists the ranges whose replicas differ, in ascending order. Neighbours with
// the same members before and after are one.
func Diff(old, next *Ring) []Move {
	var moves []Move
	before, after := old.setList(), next.setList()
	from := uint64(0)
	for len(before) > 0 {
		b, a := before[0], after[0]
		to := min(b.To, a.To)
		if !slices.Equal(b.ids, a.ids) {
			moves = appendMove(moves, Range{from, to}, b.ids, a.ids)
		}
		if b.To == to {
			before = before[1:]
		}
		if a.To == to {
			after = after[1:]
		}
		from = to + 1
	}
	return moves
}

func appendMove(moves []Move, g Range, from, to []uint64) []Move {
	if last := len(moves) - 1; last >= 0 {
		m := &moves[last]
		if m.Range.To+1 == g.From && slices.Equal(m.From, from) && slices.Equal(m.To, to) {
			m.Range.To = g.To
			return moves
		}
	}
	return append(moves, Move{g, from, to})
}

type idSet struct {
	Range
	ids []uint64
}

// setList is what Arcs yields, kept; of a ring without points one range of nobody.
func (r *Ring) setList() []idSet {
	if len(r.places) == 0 {
		return []idSet{{Range: Range{0, ^uint64(0)}}}
	}
	list := make([]idSet, 0, len(r.places))
	ids := make([]uint64, 0, r.replicas*(len(r.places)+1))
	r.mergedArcs(func(g Range, point int) bool {
		begin := len(ids)
		ids = r.appendIDs(ids, point)
		list = append(list, idSet{g, ids[begin:len(ids):len(ids)]})
		return true
	})
	return list
}
