package main

import (
	"context"
	"fmt"
	"os"

	"gannet/replication/simtest"
)

// measureSim runs the simulator: the group logic on seeded faults, and then with
// faults planted into it, to see whether the invariants notice.
func measureSim(ctx context.Context, e *env) error {
	seeds := uint64(100)
	if e.full {
		seeds = 1000
	}
	s := simtest.Sweep(ctx, 1, seeds, func(r simtest.Result) {
		if r.Broken != "" {
			fmt.Fprintf(os.Stderr, "   seed %d: %s\n", r.Seed, r.Broken)
		}
	})
	if err := ctx.Err(); err != nil {
		return err
	}
	note := fmt.Sprintf("seeds without a broken invariant; %.2f simulated hours, %d promotions, %d changes of the ring, %d acknowledged writes",
		s.Hours(), s.Counts.Promotions, s.Counts.Epochs, s.Counts.Acked)
	whole := float64(s.Seeds-uint64(len(s.Broken))) / float64(s.Seeds)
	e.table.AtLeast("sim_seeds", whole, 1, int64(s.Seeds), "share", note)
	return e.simMutants(ctx)
}

func (e *env) simMutants(ctx context.Context) error {
	plants := simtest.Plants(ctx, 1, 150)
	if err := ctx.Err(); err != nil {
		return err
	}
	caught, missed := 0, ""
	for _, p := range plants {
		if p.Seed != 0 {
			caught++
		} else {
			missed += " " + p.Fault
		}
	}
	note := "planted faults that an invariant caught"
	if missed != "" {
		note += "; missed:" + missed
	}
	e.table.AtLeast("sim_mutants", float64(caught)/float64(len(plants)), 1, int64(len(plants)), "share", note)
	return nil
}
