package ring

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/spaolacci/murmur3"
)

const (
	// PointsPerWeight is the number of virtual nodes of a member of weight 1.
	PointsPerWeight = 256
	// MaxEpoch is the greatest epoch: item versions have 24 bits for it.
	MaxEpoch = 1<<24 - 1
	// MaxMembers bounds what Decode will build.
	MaxMembers = 4096
	// MaxWeight bounds a member's share.
	MaxWeight = 64

	// The start table has an entry for each value of the upper bits of a hash.
	startBits = 12
)

// Member is a node of the ring.
type Member struct {
	ID   uint64
	Name string
	// Addr is the address of the data ports and the port of shard 0.
	Addr   netip.AddrPort
	Shards uint16
	Weight uint8 // share of the ring relative to others, 1 or more
}

// Ring is an immutable assignment of key hashes to members.
type Ring struct {
	epoch   uint32
	members []Member
	points  []point
	// start[h] is the first point whose upper bits are h or more.
	start [1<<startBits + 1]uint32
}

type point struct {
	place  uint64
	member uint32 // index into members
}

// The ways a ring's description can be wrong.
var (
	ErrNoMembers = errors.New("a ring needs a member; give at least one")
	ErrEpoch     = fmt.Errorf("epoch is out of range; it goes from 1 to %d", MaxEpoch)
)

// MemberError is a member that cannot be in a ring.
type MemberError struct {
	ID      uint64
	Problem string
}

func (e *MemberError) Error() string { return fmt.Sprintf("member %016x: %s", e.ID, e.Problem) }

// New derives a ring. It keeps a copy of members.
func New(epoch uint32, members []Member) (*Ring, error) {
	if epoch == 0 || epoch > MaxEpoch {
		return nil, ErrEpoch
	}
	if len(members) == 0 {
		return nil, ErrNoMembers
	}
	r := &Ring{epoch: epoch, members: slices.Clone(members)}
	slices.SortFunc(r.members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	if err := checkMembers(r.members); err != nil {
		return nil, err
	}
	r.derivePoints()
	return r, nil
}

func checkMembers(sorted []Member) error {
	if len(sorted) > MaxMembers {
		return fmt.Errorf("%d members are more than a ring takes (%d)", len(sorted), MaxMembers)
	}
	for i := range sorted {
		m := &sorted[i]
		switch {
		case m.ID == 0:
			return &MemberError{m.ID, "id 0 means no member; give every node an id"}
		case i > 0 && sorted[i-1].ID == m.ID:
			return &MemberError{m.ID, "is there twice; give every node its own id"}
		case m.Weight == 0 || m.Weight > MaxWeight:
			return &MemberError{m.ID, fmt.Sprintf("weight %d is out of range; it goes from 1 to %d", m.Weight, MaxWeight)}
		case !m.Addr.IsValid():
			return &MemberError{m.ID, "has no address"}
		case m.Addr.Addr().Zone() != "":
			return &MemberError{m.ID, "address has a zone, which means nothing to other nodes; use one without"}
		case m.Shards == 0:
			return &MemberError{m.ID, "has no shards"}
		case len(m.Name) > maxNameBytes:
			return &MemberError{m.ID, fmt.Sprintf("name is longer than %d bytes", maxNameBytes)}
		}
	}
	return nil
}

func (r *Ring) derivePoints() {
	total := 0
	for i := range r.members {
		total += int(r.members[i].Weight) * PointsPerWeight
	}
	r.points = make([]point, 0, total)
	for i := range r.members {
		m := &r.members[i]
		for n := range uint32(m.Weight) * PointsPerWeight {
			r.points = append(r.points, point{place: pointPlace(m.ID, n), member: uint32(i)})
		}
	}
	slices.SortFunc(r.points, func(a, b point) int {
		return cmp.Or(cmp.Compare(a.place, b.place), cmp.Compare(a.member, b.member))
	})
	next := uint32(0)
	for h := range r.start {
		for int(next) < len(r.points) && r.points[next].place>>(64-startBits) < uint64(h) {
			next++
		}
		r.start[h] = next
	}
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

// Epoch is the ring's version.
func (r *Ring) Epoch() uint32 { return r.epoch }

// Members are in the order of their ids. The caller must not change them.
func (r *Ring) Members() []Member { return r.members }

// Owner is the member of the first point at or after the key hash, clockwise. It
// does not allocate.
func (r *Ring) Owner(keyHash uint64) *Member {
	slot := keyHash >> (64 - startBits)
	low, high := r.start[slot], r.start[slot+1]
	for low < high {
		if mid := (low + high) / 2; r.points[mid].place < keyHash {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if int(low) == len(r.points) {
		low = 0 // past the last point the circle begins again
	}
	return &r.members[r.points[low].member]
}

// Owns tells whether the member with this id owns the key hash.
func (r *Ring) Owns(id, keyHash uint64) bool { return r.Owner(keyHash).ID == id }
