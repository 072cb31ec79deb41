package transport

import (
	"slices"

	"gannet/ring"
)

// standsIn are the ranges that a member follows only because another one is down. It
// holds them beside what it was given to hold, so that where memory is full their
// copies would push out what is read: they are spare, see shard.Mutation. The member
// that is down has them again when it returns, and who takes its place for good follows
// them by a ring without it.
func standsIn(r *ring.Ring, self uint64) []ring.Range {
	if r == nil {
		return nil
	}
	away := func(m ring.Member) bool { return m.State == ring.Down || m.State == ring.Returning }
	if !slices.ContainsFunc(r.Members(), away) {
		return nil
	}
	spec := r.Spec()
	for i := range spec.Members {
		if away(spec.Members[i]) {
			spec.Members[i].State = ring.Active
		}
	}
	whole, err := ring.Build(spec)
	if err != nil {
		return nil // not reached: it differs from a ring in states only
	}
	var ranges []ring.Range
	for _, m := range ring.Diff(whole, r) {
		if slices.Contains(m.To, self) && !slices.Contains(m.From, self) {
			ranges = append(ranges, m.Range)
		}
	}
	return ranges
}
