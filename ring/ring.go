package ring

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

const (
	// PointsPerWeight is the number of virtual nodes of a member of weight 1, before
	// any correction.
	PointsPerWeight = 256
	// MaxEpoch is the greatest epoch: item versions have 24 bits for it.
	MaxEpoch = 1<<24 - 1
	// MaxMembers bounds what Decode will build.
	MaxMembers = 4096
	// MaxWeight bounds a member's share.
	MaxWeight = 64
	// DefaultReplicas is the size of a replica set when nothing else is said: pairs.
	DefaultReplicas = 2
	// MaxReplicas bounds the size of a replica set.
	MaxReplicas = 8

	maxPoints = 2 * MaxWeight * PointsPerWeight
)

// Member is a node of the ring.
type Member struct {
	ID   uint64
	Name string
	// Zone is what fails together: a rack, a room, a power feed. Members without one
	// share the zone "".
	Zone  string
	State State
	// Addr is the address of the data ports and the port of shard 0.
	Addr netip.AddrPort
	// Control is the TCP port of the control process, Gossip that of its gossip. The
	// zero value: it has none.
	Control netip.AddrPort
	Gossip  netip.AddrPort
	Shards  uint16
	Weight  uint8 // share of the ring relative to others, 1 or more
	// Points is the number of points after Correct; 0 before: 256 times the weight. Who
	// changes a weight sets it to 0 again.
	Points uint16
}

func (m *Member) pointCount() int {
	if m.Points != 0 {
		return int(m.Points)
	}
	return int(m.Weight) * PointsPerWeight
}

// Spec is all that a ring is derived from.
type Spec struct {
	Epoch    uint32
	Replicas uint8 // nodes that hold a key, the leader included; 0 = DefaultReplicas
	Members  []Member
}

// Ring is an immutable assignment of key hashes to members.
type Ring struct {
	epoch    uint32
	replicas int
	members  []Member

	// Points in the order of their places, as parallel arrays: a lookup reads places
	// until it has found its point, and the rest for that one only.
	places []uint64
	owners []uint16 // index of the point's member, whether it serves or not
	// sets holds for each point the indices of its replicas, leader first: replicas
	// entries a point, none where there are fewer serving members.
	sets []uint16
	// start[h] is the first point whose place, shifted right by shift, is h or more.
	start []uint32
	shift uint8

	shares []uint64 // by member: sum of the arcs it leads; see Share
}

const none = ^uint16(0)

// The ways a ring's description can be wrong.
var (
	ErrNoMembers = errors.New("a ring needs a member; give at least one")
	ErrEpoch     = fmt.Errorf("epoch is out of range; it goes from 1 to %d", MaxEpoch)
	ErrReplicas  = fmt.Errorf("replica count is out of range; it goes from 1 to %d", MaxReplicas)
)

// MemberError is a member that cannot be in a ring.
type MemberError struct {
	ID      uint64
	Problem string
}

func (e *MemberError) Error() string { return fmt.Sprintf("member %016x: %s", e.ID, e.Problem) }

// New derives a ring of pairs. It keeps a copy of members.
func New(epoch uint32, members []Member) (*Ring, error) {
	return Build(Spec{Epoch: epoch, Replicas: DefaultReplicas, Members: members})
}

// Build derives a ring. It keeps a copy of the members.
func Build(spec Spec) (*Ring, error) {
	if spec.Epoch == 0 || spec.Epoch > MaxEpoch {
		return nil, ErrEpoch
	}
	if len(spec.Members) == 0 {
		return nil, ErrNoMembers
	}
	if spec.Replicas > MaxReplicas {
		return nil, ErrReplicas
	}
	r := &Ring{
		epoch:    spec.Epoch,
		replicas: int(cmp.Or(spec.Replicas, DefaultReplicas)),
		members:  sortedMembers(spec.Members),
	}
	if err := checkMembers(r.members); err != nil {
		return nil, err
	}
	r.place()
	r.chooseReplicas()
	r.sumShares()
	return r, nil
}

func sortedMembers(members []Member) []Member {
	sorted := slices.Clone(members)
	for i := range sorted {
		sorted[i].unmapAddresses()
	}
	slices.SortFunc(sorted, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return sorted
}

// unmapAddresses gives an IPv4 address its one form.
func (m *Member) unmapAddresses() {
	for _, a := range []*netip.AddrPort{&m.Addr, &m.Control, &m.Gossip} {
		*a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
}

func checkMembers(sorted []Member) error {
	if len(sorted) > MaxMembers {
		return fmt.Errorf("%d members are more than a ring takes (%d)", len(sorted), MaxMembers)
	}
	for i := range sorted {
		if i > 0 && sorted[i-1].ID == sorted[i].ID {
			return &MemberError{sorted[i].ID, "is there twice; give every node its own id"}
		}
		if problem := sorted[i].problem(); problem != "" {
			return &MemberError{sorted[i].ID, problem}
		}
	}
	return nil
}

// nowhere is what the encoding takes for no address.
var nowhere = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)

func (m *Member) problem() string {
	switch {
	case m.ID == 0:
		return "id 0 means no member; give every node an id"
	case m.State >= states:
		return fmt.Sprintf("has the unknown %v; upgrade this node", m.State)
	case m.Weight == 0 || m.Weight > MaxWeight:
		return fmt.Sprintf("weight %d is out of range; it goes from 1 to %d", m.Weight, MaxWeight)
	case m.Points > maxPoints:
		return fmt.Sprintf("%d points are more than a member can have (%d)", m.Points, maxPoints)
	case !m.Addr.IsValid() || m.Addr == nowhere:
		return "has no address"
	case m.Shards == 0:
		return "has no shards"
	case len(m.Name) > maxNameBytes:
		return fmt.Sprintf("name is longer than %d bytes", maxNameBytes)
	case len(m.Zone) > maxNameBytes:
		return fmt.Sprintf("zone is longer than %d bytes", maxNameBytes)
	}
	for _, a := range []netip.AddrPort{m.Addr, m.Control, m.Gossip} {
		if a.Addr().Zone() != "" {
			return fmt.Sprintf("address %v has a scope, which means nothing to other nodes; use one without", a)
		}
		if !a.IsValid() && a.Port() != 0 {
			return fmt.Sprintf("has port %d without an address", a.Port())
		}
	}
	return ""
}

// Epoch is the ring's version.
func (r *Ring) Epoch() uint32 { return r.epoch }

// ReplicaCount is how many members hold a key while there are enough.
func (r *Ring) ReplicaCount() int { return r.replicas }

// Members are in the order of their ids. The caller must not change them.
func (r *Ring) Members() []Member { return r.members }

// Spec is what the ring was derived from; its members are a copy.
func (r *Ring) Spec() Spec {
	return Spec{Epoch: r.epoch, Replicas: uint8(r.replicas), Members: slices.Clone(r.members)}
}

// Member finds a member by its id, nil when it is not there.
func (r *Ring) Member(id uint64) *Member {
	if i, ok := r.index(id); ok {
		return &r.members[i]
	}
	return nil
}

func (r *Ring) index(id uint64) (int, bool) {
	return slices.BinarySearchFunc(r.members, id, func(m Member, id uint64) int { return cmp.Compare(m.ID, id) })
}
