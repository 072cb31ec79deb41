package load

import (
	"cmp"
	"slices"
	"time"

	"gannet/ring"
	"gannet/wire"
)

// Ranges groups keys: those of a group have the same leader and followers in a ring,
// and change leaders together.
type Ranges struct {
	group   []int    // of each key
	leaders []uint64 // of each group
}

// RangesOf groups the first keys by a ring.
func RangesOf(r *ring.Ring, keys int) *Ranges {
	g := &Ranges{group: make([]int, keys)}
	known := map[[4]uint64]int{}
	var room [4]*ring.Member
	for key := range keys {
		var ids [4]uint64
		for i, m := range r.Replicas(wire.KeyHash([]byte(Key(key))), room[:0]) {
			if i < len(ids) {
				ids[i] = m.ID
			}
		}
		group, ok := known[ids]
		if !ok {
			group = len(g.leaders)
			known[ids] = group
			g.leaders = append(g.leaders, ids[0])
		}
		g.group[key] = group
	}
	return g
}

// Led are the groups that a member leads.
func (g *Ranges) Led(id uint64) []int {
	var groups []int
	for group, leader := range g.leaders {
		if leader == id {
			groups = append(groups, group)
		}
	}
	return groups
}

// Back is how long after a moment writes of all these groups were acknowledged again,
// in a later epoch than the one before; false: they never were.
func (h *History) Back(g *Ranges, groups []int, atNanos int64) (took time.Duration, ok bool) {
	acks := h.acks(g)
	for _, group := range groups {
		before := uint32(0)
		first := int64(-1)
		for _, a := range acks[group] {
			if a.Done < atNanos {
				before = max(before, a.Version.Epoch())
				continue
			}
			if a.Version.Epoch() > before {
				first = a.Done
				break
			}
		}
		if first < 0 {
			return 0, false
		}
		took = max(took, time.Duration(first-atNanos))
	}
	return took, len(groups) > 0
}

// LastOld is when the last write of these groups was acknowledged under an epoch no
// later than that of a write acknowledged before a moment; without one, the moment.
func (h *History) LastOld(g *Ranges, groups []int, atNanos int64) int64 {
	last := atNanos
	acks := h.acks(g)
	for _, group := range groups {
		before := uint32(0)
		for _, a := range acks[group] {
			if a.Done < atNanos {
				before = max(before, a.Version.Epoch())
			} else if a.Version.Epoch() <= before {
				last = max(last, a.Done)
			}
		}
	}
	return last
}

// FirstNew is how long after a moment the first write of these groups was acknowledged
// under a later epoch than any before; false: none was.
func (h *History) FirstNew(g *Ranges, groups []int, atNanos int64) (time.Duration, bool) {
	first, found := int64(0), false
	acks := h.acks(g)
	for _, group := range groups {
		before := uint32(0)
		for _, a := range acks[group] {
			if a.Done < atNanos {
				before = max(before, a.Version.Epoch())
			} else if a.Version.Epoch() > before {
				if !found || a.Done < first {
					first, found = a.Done, true
				}
				break
			}
		}
	}
	return time.Duration(first - atNanos), found
}

// Gap is the longest time in a span in which no write of one of these groups was
// acknowledged.
func (h *History) Gap(g *Ranges, groups []int, fromNanos, toNanos int64) time.Duration {
	longest := int64(0)
	acks := h.acks(g)
	for _, group := range groups {
		last := fromNanos
		for _, a := range acks[group] {
			if a.Done < fromNanos || a.Done > toNanos {
				continue
			}
			longest = max(longest, a.Done-last)
			last = a.Done
		}
		longest = max(longest, toNanos-last)
	}
	return time.Duration(longest)
}

// StaleAcks is how many writes were acknowledged under an epoch older than one under
// which their range had been acknowledged before they began.
func (h *History) StaleAcks(g *Ranges) int {
	n := 0
	for _, acks := range h.acks(g) {
		newest := make([]uint32, len(acks)) // epoch among the first ones, this included
		for i, a := range acks {
			newest[i] = a.Version.Epoch()
			if i > 0 {
				newest[i] = max(newest[i], newest[i-1])
			}
		}
		for _, a := range acks {
			// Those that ended before this one was due.
			before, _ := slices.BinarySearchFunc(acks, a.Due, func(r *Record, t int64) int { return cmp.Compare(r.Done, t) })
			if before > 0 && newest[before-1] > a.Version.Epoch() {
				n++
			}
		}
	}
	return n
}

// acks are the acknowledged writes of each group that have a version, in the order in
// which they were acknowledged.
func (h *History) acks(g *Ranges) [][]*Record {
	acks := make([][]*Record, len(g.leaders))
	for r := range h.All {
		if r.Kind != Read && r.Outcome == Acked && r.Version != 0 {
			group := g.group[r.Key]
			acks[group] = append(acks[group], r)
		}
	}
	for _, list := range acks {
		slices.SortFunc(list, func(a, b *Record) int { return cmp.Compare(a.Done, b.Done) })
	}
	return acks
}
