package ring

import "slices"

// The order of preference of a point lists every placed member once. Within a zone
// members come in the order in which their points are met clockwise; zones come in
// the order in which they are met; and the list takes the zones in turn: the first
// member of each, the second of each, and so on. It does not depend on who serves.
// A replica set is the first serving members of the list. Three things follow:
//
//   - replicas are in distinct zones while zones last;
//   - when the leader goes down, its first follower leads, whoever else is down
//     already, and nothing else changes but that one more follower is added;
//   - with more zones than replicas the sets are distinct in zones with any one
//     member down, too. With as many zones as replicas a set that lost a *follower*
//     may have two members in a zone until the lost one is back or gone from the
//     ring: a rule that avoided it could not have the second property.

// zoneWalk is the state of one walk counter-clockwise over the points. In front of
// each list stands what the walk met last, which clockwise comes first.
type zoneWalk struct {
	zoneOf  []uint16   // by member
	nearest [][]uint16 // by zone: members; only as many as can be needed
	order   []uint16   // zones met so far
}

// chooseReplicas fills sets. A first walk brings the lists to what lies beyond the
// last point, the second one records.
func (r *Ring) chooseReplicas() {
	r.sets = make([]uint16, len(r.places)*r.replicas)
	w := r.newZoneWalk()
	for i := len(r.owners) - 1; i >= 0; i-- {
		w.meet(r.owners[i])
	}
	for i := len(r.owners) - 1; i >= 0; i-- {
		w.meet(r.owners[i])
		r.choose(w, r.set(i))
	}
}

// newZoneWalk makes room in each zone for all that may be passed over, and as many
// again as a set can take.
func (r *Ring) newZoneWalk() *zoneWalk {
	w := &zoneWalk{zoneOf: make([]uint16, len(r.members))}
	zones := map[string]uint16{}
	var depths []int
	for i := range r.members {
		m := &r.members[i]
		zone, known := zones[m.Zone]
		if !known {
			zone = uint16(len(depths))
			zones[m.Zone] = zone
			depths = append(depths, r.replicas)
		}
		w.zoneOf[i] = zone
		if m.State.Placed() && !m.State.Serves() {
			depths[zone]++
		}
	}
	w.nearest = make([][]uint16, len(depths))
	for zone, depth := range depths {
		w.nearest[zone] = make([]uint16, 0, depth)
	}
	w.order = make([]uint16, 0, len(depths))
	return w
}

func (w *zoneWalk) meet(member uint16) {
	zone := w.zoneOf[member]
	w.nearest[zone] = toFront(w.nearest[zone], member)
	w.order = toFront(w.order, zone)
}

// toFront puts v first. Where the list is full and v is new, the last one falls out:
// what is left is still exactly the nearest ones.
func toFront(list []uint16, v uint16) []uint16 {
	at := slices.Index(list, v)
	if at < 0 {
		if len(list) < cap(list) {
			list = append(list, v)
		}
		at = len(list) - 1
	}
	copy(list[1:at+1], list[:at])
	list[0] = v
	return list
}

// choose takes the first serving members of the order of preference.
func (r *Ring) choose(w *zoneWalk, set []uint16) {
	chosen := 0
	for round, more := 0, true; more; round++ {
		more = false
		for _, zone := range w.order {
			if round >= len(w.nearest[zone]) {
				continue
			}
			more = true
			member := w.nearest[zone][round]
			if !r.members[member].State.Serves() {
				continue
			}
			set[chosen] = member
			if chosen++; chosen == len(set) {
				return
			}
		}
	}
	for ; chosen < len(set); chosen++ {
		set[chosen] = none
	}
}
