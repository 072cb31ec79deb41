package ring

// LoadBound is c of the bounded-load rule when nothing else is said.
const LoadBound = 1.25

// Spread chooses among a key's replicas by consistent hashing with bounded loads
// (Mirrokni, Thorup and Zadimoghaddam 2018): the first one, leader first, whose load
// is below c times the mean, so that calm keys keep their leader and its cache, and
// no member takes more than its bound while another replica has room. When all are
// at their bound it is the least loaded. load is asked for the replicas only; mean is
// the mean over the serving members, see MeanLoad; c of 1 or less means LoadBound.
// nil when no member serves. It does not allocate.
func (r *Ring) Spread(hash uint64, load func(id uint64) float64, mean, c float64) *Member {
	if len(r.places) == 0 {
		return nil
	}
	if c <= 1 {
		c = LoadBound
	}
	var least *Member
	leastLoad := 0.0
	for _, i := range r.set(r.find(hash)) {
		if i == none {
			break
		}
		m := &r.members[i]
		l := load(m.ID)
		if l < c*mean {
			return m
		}
		if least == nil || l < leastLoad {
			least, leastLoad = m, l
		}
	}
	return least
}

// MeanLoad is the mean load over the serving members, 0 without one.
func (r *Ring) MeanLoad(load func(id uint64) float64) float64 {
	sum, serving := 0.0, 0
	for i := range r.members {
		if r.members[i].State.Serves() {
			sum += load(r.members[i].ID)
			serving++
		}
	}
	return sum / float64(max(serving, 1))
}
