package ring

import "slices"

// Next is the ring as it will be when every change under way is done: joining and
// returning members are active, leaving and down ones are gone, and the points are
// corrected. It is what a handoff works towards: Diff(r, r.Next()) is what must be
// copied first. nil when nobody would be left. Its epoch is one above r's.
func (r *Ring) Next() *Ring { return r.NextWith(func(*Member) bool { return true }) }

// NextWith is Next for the members for whom done says that their change is done; the
// others stay as they are.
func (r *Ring) NextWith(done func(*Member) bool) *Ring {
	spec := r.Spec()
	spec.Epoch = min(r.epoch+1, MaxEpoch)
	spec.Members = slices.DeleteFunc(spec.Members, func(m Member) bool { return !m.State.Stays() && done(&m) })
	for i := range spec.Members {
		if m := &spec.Members[i]; m.State.Stays() && done(m) {
			m.State = Active
		}
	}
	if len(spec.Members) == 0 {
		return nil
	}
	spec.Members = Correct(spec.Members)
	next, err := Build(spec)
	if err != nil {
		return nil // of a valid ring's members every selection is valid
	}
	return next
}
