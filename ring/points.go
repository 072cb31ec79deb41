package ring

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/spaolacci/murmur3"
)

type point struct {
	place  uint64
	member uint16 // index into members
	number uint16 // among its member's points
}

func comparePoints(a, b point) int {
	return cmp.Or(cmp.Compare(a.place, b.place), cmp.Compare(a.member, b.member))
}

// pointPlace is the place of a member's nth point: h1 of the MurmurHash3 x64 128 of
// id and number, little-endian.
func pointPlace(id uint64, n uint32) uint64 {
	var b [12]byte
	binary.LittleEndian.PutUint64(b[:], id)
	binary.LittleEndian.PutUint32(b[8:], n)
	h1, _ := murmur3.Sum128(b[:])
	return h1
}

// place derives the points of all placed members, and the start table.
func (r *Ring) place() {
	var points []point
	for i := range r.members {
		if m := &r.members[i]; m.State.Placed() {
			points = appendPoints(points, uint16(i), m.ID, m.pointCount())
		}
	}
	points, r.start, r.shift = sortPoints(points)
	r.places, r.owners = make([]uint64, len(points)), make([]uint16, len(points))
	for i, p := range points {
		r.places[i], r.owners[i] = p.place, p.member
	}
}

func appendPoints(points []point, member uint16, id uint64, count int) []point {
	points = slices.Grow(points, count)
	for n := range uint32(count) {
		points = append(points, point{place: pointPlace(id, n), member: member, number: uint16(n)})
	}
	return points
}

// sortPoints sorts by way of the start table: places are hashes, so that with about
// two points an entry the entries' points are nearly in order already.
func sortPoints(points []point) (sorted []point, start []uint32, shift uint8) {
	startBits := max(1, bits.Len(uint(len(points)))-1)
	shift = uint8(64 - startBits)
	start = make([]uint32, 1<<startBits+1)
	for _, p := range points {
		start[p.place>>shift+1]++
	}
	for h := range start[1:] {
		start[h+1] += start[h]
	}
	sorted, filled := make([]point, len(points)), slices.Clone(start)
	for _, p := range points {
		h := p.place >> shift
		sorted[filled[h]] = p
		filled[h]++
	}
	for h := range start[1:] {
		slices.SortFunc(sorted[start[h]:start[h+1]], comparePoints)
	}
	return sorted, start, shift
}

// find returns the first point at or after the hash, clockwise. There must be one.
func (r *Ring) find(hash uint64) int {
	slot := hash >> r.shift
	low, high := r.start[slot], r.start[slot+1]
	for low < high && r.places[low] < hash {
		low++
	}
	if int(low) == len(r.places) {
		return 0 // past the last point the circle begins again
	}
	return int(low)
}

// set is the replica set of a point: indices of members, leader first.
func (r *Ring) set(point int) []uint16 {
	return r.sets[point*r.replicas : (point+1)*r.replicas]
}

// Owner is the leader for a key hash, nil when no member serves. It does not
// allocate.
func (r *Ring) Owner(hash uint64) *Member {
	if len(r.places) == 0 {
		return nil
	}
	if leader := r.sets[r.find(hash)*r.replicas]; leader != none {
		return &r.members[leader]
	}
	return nil
}

// Owns tells whether the member with this id leads the key hash.
func (r *Ring) Owns(id, hash uint64) bool {
	leader := r.Owner(hash)
	return leader != nil && leader.ID == id
}

// Replicas appends the members that hold a key hash to dst, leader first. With room
// in dst it does not allocate.
func (r *Ring) Replicas(hash uint64, dst []*Member) []*Member {
	if len(r.places) == 0 {
		return dst
	}
	for _, i := range r.set(r.find(hash)) {
		if i == none {
			break
		}
		dst = append(dst, &r.members[i])
	}
	return dst
}

// Holds tells whether the member with this id leads or follows the key hash.
func (r *Ring) Holds(id, hash uint64) bool {
	i, ok := r.index(id)
	return ok && len(r.places) != 0 && slices.Contains(r.set(r.find(hash)), uint16(i))
}
