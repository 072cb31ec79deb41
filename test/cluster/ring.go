package main

import (
	"context"
	"fmt"

	"gannet/ring/ringcheck"
)

// measureRing looks at the ring alone: what a lookup costs, how even the shares are,
// and how much a change moves. It needs no node.
func measureRing(_ context.Context, e *env) error {
	if err := e.ringLookup(); err != nil {
		return err
	}
	sets := map[int]int{16: 200, 300: 20}
	if e.full {
		sets = map[int]int{16: 1000, 300: 1000}
	}
	var changed []ringcheck.Figures
	for _, members := range []int{16, 300} {
		f, err := ringcheck.Measure(1, members, sets[members])
		if err != nil {
			return err
		}
		note := fmt.Sprintf("%d members: 99th percentile of max/mean, the worse of new rings and of rings after a join or leave; plain points: mean %.3f, 99th percentile %.3f", members, f.Plain.Mean, f.Plain.P99)
		e.table.AtMost("ring_balance", max(f.Corrected.P99, f.Changed.P99), 1.10, int64(f.Sets), "ratio", note)
		changed = append(changed, f)
	}
	e.ringMoved(changed)
	return nil
}

func (e *env) ringLookup() error {
	f, err := ringcheck.Lookup(1, 500, 5)
	if err != nil {
		return err
	}
	note := fmt.Sprintf("owner of a key among 500 members, best of %d rounds; leader and follower: %.1f ns; %d allocations in a million",
		f.Rounds, f.PairNanos, f.AllocationsPerMillion)
	e.table.AtMost("ring_lookup_ns", f.OwnerNanos, 100, int64(f.Lookups), "ns", note)
	return nil
}

// ringMoved takes the worst of joins and leaves at all sizes.
func (e *env) ringMoved(figures []ringcheck.Figures) {
	mean, p99, n := 0.0, 0.0, 0
	for _, f := range figures {
		mean = max(mean, f.Join.Mean, f.Leave.Mean)
		p99 = max(p99, f.Join.P99, f.Leave.P99)
		n += 2 * f.Sets
	}
	e.table.AtMost("ring_moved", mean, 1.10, int64(n), "× ideal", "mean; the worst of joins and leaves at 16 and at 300 members")
	e.table.AtMost("ring_moved", p99, 1.25, int64(n), "× ideal", "99th percentile; the worst of joins and leaves at 16 and at 300 members")
}
