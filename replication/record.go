package replication

import (
	"slices"

	"gannet/ring"
)

// Record is the ring as it stands in etcd.
type Record struct {
	Ring     *ring.Ring // nil: there is none
	Revision int64      // of etcd's key; 0: not from etcd
	// PrevVoters are the serving members of the epoch before. An epoch is closed when
	// so many of its voters know a later one that the others are no majority.
	PrevVoters []uint64
	// Blank are the control processes, by their lives, of which it was known that they
	// begin without items: all of them did, and so they serve as they are.
	Blank []uint64

	plan *plan
}

// plan is what everybody derives from a record, once.
type plan struct {
	target *ring.Ring // what the handoffs of this epoch work towards
	arcs   []arc
	voters []uint64
}

// arc is a range of equal replica sets, now and when the handoffs are done.
type arc struct {
	ring.Range
	replicas []uint64 // leader first
	gaining  []uint64 // those that are to have it besides
}

// Registration is a member as its record under its lease says.
type Registration struct{ Member ring.Member }

// NewRecord completes a record; every Record with a ring comes from here.
func NewRecord(r *ring.Ring, revision int64, prevVoters []uint64) Record {
	rec := Record{Ring: r, Revision: revision, PrevVoters: slices.Clone(prevVoters), plan: &plan{target: r}}
	slices.Sort(rec.PrevVoters)
	for _, m := range r.Members() {
		if m.State.Serves() {
			rec.plan.voters = append(rec.plan.voters, m.ID)
		}
	}
	if slices.ContainsFunc(r.Members(), func(m ring.Member) bool { return moving(m.State) }) {
		if next := r.NextWith(func(m *ring.Member) bool { return m.State != ring.Down }); next != nil {
			rec.plan.target = next
		}
	}
	rec.plan.arcs = overlay(r, rec.plan.target)
	return rec
}

// overlay cuts the circle wherever one of the rings does.
func overlay(now, then *ring.Ring) []arc {
	after := arcsOf(then)
	if now == then {
		return after
	}
	var out []arc
	for _, a := range arcsOf(now) {
		for len(after) > 0 && after[0].To < a.From {
			after = after[1:]
		}
		for _, b := range after {
			if b.From > a.To {
				break
			}
			cut := arc{Range: ring.Range{From: max(a.From, b.From), To: min(a.To, b.To)}, replicas: a.replicas}
			for _, id := range b.replicas {
				if !slices.Contains(a.replicas, id) {
					cut.gaining = append(cut.gaining, id)
				}
			}
			out = append(out, cut)
		}
	}
	return out
}

func arcsOf(r *ring.Ring) []arc {
	var out []arc
	for g, ids := range r.Arcs() {
		out = append(out, arc{Range: g, replicas: slices.Clone(ids)})
	}
	return out
}

// moving tells whether a handoff is under way for a member of this state.
func moving(s ring.State) bool { return s == ring.Joining || s == ring.Returning || s == ring.Leaving }

// Epoch is 0 without a ring.
func (r *Record) Epoch() uint32 {
	if r.Ring == nil {
		return 0
	}
	return r.Ring.Epoch()
}

// Target is the ring that handoffs work towards; the ring itself when there are none.
func (r *Record) Target() *ring.Ring {
	if r.plan == nil {
		return nil
	}
	return r.plan.target
}

// Voters are the serving members: they grant, and they witness.
func (r *Record) Voters() []uint64 {
	if r.plan == nil {
		return nil
	}
	return r.plan.voters
}

// serves tells whether a member is a voter.
func (r *Record) serves(id uint64) bool {
	_, found := slices.BinarySearch(r.Voters(), id)
	return found
}

// ledBy are the ranges that a member leads.
func (r *Record) ledBy(id uint64) RangeSet {
	var set RangeSet
	if r.plan == nil {
		return nil
	}
	for _, a := range r.plan.arcs {
		if len(a.replicas) > 0 && a.replicas[0] == id {
			set = set.push(a.Range)
		}
	}
	return set
}

// outOf are the ranges that a leader's streams carry, by receiver; current, those
// which the receiver follows already.
func (r *Record) outOf(leader uint64) (all, current map[uint64]RangeSet) {
	all, current = map[uint64]RangeSet{}, map[uint64]RangeSet{}
	if r.plan == nil {
		return all, current
	}
	for _, a := range r.plan.arcs {
		if len(a.replicas) == 0 || a.replicas[0] != leader {
			continue
		}
		for _, id := range a.replicas[1:] {
			all[id] = all[id].push(a.Range)
			current[id] = current[id].push(a.Range)
		}
		for _, id := range a.gaining {
			all[id] = all[id].push(a.Range)
		}
	}
	return all, current
}

// into are the ranges that a member receives, by leader.
func (r *Record) into(id uint64) map[uint64]RangeSet {
	in := map[uint64]RangeSet{}
	if r.plan == nil {
		return in
	}
	for _, a := range r.plan.arcs {
		if len(a.replicas) == 0 || a.replicas[0] == id {
			continue
		}
		if slices.Contains(a.replicas, id) || slices.Contains(a.gaining, id) {
			in[a.replicas[0]] = in[a.replicas[0]].push(a.Range)
		}
	}
	return in
}

// majority is how many grants renew a fence.
func majority(voters int) int { return voters/2 + 1 }

// withholders is how many voters must refuse a leader so that the others, the leader
// included, are no majority.
func withholders(voters int) int { return voters - voters/2 }

func epochOf(version uint64) uint32 { return uint32(version >> 40) }

// Version puts epoch and sequence together.
func Version(epoch uint32, sequence uint64) uint64 { return uint64(epoch)<<40 | sequence }
