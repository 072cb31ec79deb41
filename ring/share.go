package ring

// sumShares adds up the arcs that each member leads. The sum of a member that leads
// all wraps to 0; Share knows.
func (r *Ring) sumShares() {
	r.shares = make([]uint64, len(r.members))
	r.arcs(func(g Range, point int) bool {
		if leader := r.set(point)[0]; leader != none {
			r.shares[leader] += g.To - g.From + 1
		}
		return true
	})
}

// Share is the part of the circle that a member leads.
func (r *Ring) Share(id uint64) float64 {
	i, ok := r.index(id)
	if !ok {
		return 0
	}
	if r.shares[i] == 0 && r.Owns(id, 0) {
		return 1
	}
	return float64(r.shares[i]) / circle
}

// Stats says how even a ring is. Each member's share is taken relative to what its
// weight asks for among the serving ones.
type Stats struct {
	Members, Serving, Points int
	MaxOverMean, MinOverMean float64
}

// Stats measures the shares of the serving members; both ratios are 0 without one.
func (r *Ring) Stats() Stats {
	s := Stats{Members: len(r.members), Points: len(r.places)}
	weights := 0
	for i := range r.members {
		if r.members[i].State.Serves() {
			s.Serving++
			weights += int(r.members[i].Weight)
		}
	}
	for i := range r.members {
		m := &r.members[i]
		if !m.State.Serves() {
			continue
		}
		ratio := r.Share(m.ID) * float64(weights) / float64(m.Weight)
		s.MaxOverMean = max(s.MaxOverMean, ratio)
		if s.MinOverMean == 0 || ratio < s.MinOverMean {
			s.MinOverMean = ratio
		}
	}
	return s
}
