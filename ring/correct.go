package ring

import "math/bits"

// The correction in thousandths of the mean share. It trims a member only when its
// share is above trimLimit, and then just down to it: whatever is trimmed moves keys
// between survivors. A new member is fitted to between freshLow and freshHigh.
const (
	trimLimit  = 1090
	startLimit = 1060 // when all are new and nothing can move
	freshLow   = 960
	freshHigh  = 1040
)

// Correct evens out the members' shares by adjusting their Points; nothing else is
// changed, and members that are not placed are left alone. Members with Points 0 are
// new: they are fitted between the others, or, when all are new, start at 256 times
// their weight. Then the member with the greatest share loses its last point, again
// and again, until no share is above the limit. Down members count as if they
// served, so that a failure moves nothing.
//
// It is deterministic (integers only, ties by id), changes nothing when applied
// again, and the order of members does not matter. The result is in the order of
// the ids.
func Correct(members []Member) []Member {
	corrected := sortedMembers(members)
	b := newBalance(corrected)
	if len(b.shares) > 1 { // nothing is even or uneven about one
		b.fit()
		b.trim()
	}
	for i := range b.shares {
		b.shares[i].member.Points = uint16(b.shares[i].count)
	}
	return corrected
}

// balance is a circle of points that come and go, with the sums of the arcs.
type balance struct {
	shares []share
	fresh  int // how many of them are new

	points     []point // in the order of their places; member is an index into shares
	prev, next []int32 // the points that are in, as a circle; prev is out for others
}

type share struct {
	member    *Member
	points    []int32 // its points' indices, in the order of their numbers
	count     int     // the first count of them are in
	least     int     // it is not trimmed below
	fresh     bool
	sum       uint64 // of its arcs
	limit     uint64 // of sum
	low, high uint64 // where fitting ends
}

const out = -1

func newBalance(members []Member) *balance {
	b := &balance{}
	var points []point
	weights := 0
	for i := range members {
		m := &members[i]
		if !m.State.Placed() || m.Weight == 0 {
			continue
		}
		s := share{member: m, count: m.pointCount(), fresh: m.Points == 0, least: int(m.Weight) * PointsPerWeight / 4}
		candidates := s.count
		if s.fresh {
			b.fresh++
			candidates += s.count / 2
		}
		s.points = make([]int32, candidates)
		points = appendPoints(points, uint16(len(b.shares)), m.ID, candidates)
		b.shares = append(b.shares, s)
		weights += int(m.Weight)
	}
	b.link(points)
	if len(b.shares) > 0 {
		b.setLimits(uint64(weights))
	}
	return b
}

func (b *balance) setLimits(weights uint64) {
	limit := uint64(trimLimit)
	if b.allNew() {
		limit = startLimit
	}
	for i := range b.shares {
		s := &b.shares[i]
		mean := ^uint64(0) / weights * uint64(s.member.Weight)
		s.limit = thousandths(mean, limit)
		s.low, s.high = thousandths(mean, freshLow), thousandths(mean, freshHigh)
	}
}

func (b *balance) allNew() bool { return b.fresh == len(b.shares) }

// thousandths is v·n/1000, or the greatest number when that is less.
func thousandths(v, n uint64) uint64 {
	hi, lo := bits.Mul64(v, n)
	if hi >= 1000 {
		return ^uint64(0)
	}
	q, _ := bits.Div64(hi, lo, 1000)
	return q
}

// link sorts the points, joins those that are in to a circle, and sums their arcs.
func (b *balance) link(points []point) {
	b.points, _, _ = sortPoints(points)
	b.prev, b.next = make([]int32, len(points)), make([]int32, len(points))
	first, last := int32(out), int32(out)
	for i, p := range b.points {
		s := &b.shares[p.member]
		s.points[p.number] = int32(i)
		b.prev[i] = out
		switch {
		case int(p.number) >= s.count:
			continue
		case first == out:
			first = int32(i)
		default:
			b.join(last, int32(i))
		}
		last = int32(i)
	}
	if first == out {
		return
	}
	b.join(last, first)
	for i, p := range b.points {
		if b.prev[i] != out {
			b.shares[p.member].sum += b.arc(int32(i))
		}
	}
}

func (b *balance) join(before, after int32) {
	b.next[before], b.prev[after] = after, before
}

// arc is the length of the stretch that ends at a point.
func (b *balance) arc(i int32) uint64 { return b.points[i].place - b.points[b.prev[i]].place }

func (b *balance) successor(i int32) *share { return &b.shares[b.points[b.next[i]].member] }

// takeOut removes a member's last point: its arc falls to the next point.
func (b *balance) takeOut(s *share) {
	s.count--
	i := s.points[s.count]
	s.sum -= b.arc(i)
	b.successor(i).sum += b.arc(i)
	b.join(b.prev[i], b.next[i])
	b.prev[i] = out
}

// putIn adds a member's next point, which takes its arc from the point after it.
func (b *balance) putIn(s *share) {
	i := s.points[s.count]
	s.count++
	before := i
	for b.prev[before] == out {
		if before--; before < 0 {
			before = int32(len(b.points) - 1)
		}
	}
	after := b.next[before]
	b.join(before, i)
	b.join(i, after)
	b.successor(i).sum -= b.arc(i)
	s.sum += b.arc(i)
}

// fit brings the new members' shares near the mean, when there are others.
func (b *balance) fit() {
	for i := range b.shares {
		s := &b.shares[i]
		if !s.fresh || b.allNew() {
			continue
		}
		for s.sum > s.high && s.count > s.least {
			b.takeOut(s)
		}
		for s.sum < s.low && s.count < len(s.points) {
			b.putIn(s)
		}
	}
}

// trim takes points from the greatest share until none is above its limit.
func (b *balance) trim() {
	for {
		var worst *share
		for i := range b.shares {
			s := &b.shares[i]
			if s.sum > s.limit && s.count > s.least && (worst == nil || s.excess() > worst.excess()) {
				worst = s
			}
		}
		if worst == nil {
			return
		}
		b.takeOut(worst)
	}
}

// excess is what a weight of 1 has above the limit.
func (s *share) excess() uint64 { return (s.sum - s.limit) / uint64(s.member.Weight) }
