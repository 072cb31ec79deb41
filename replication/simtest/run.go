package simtest

import (
	"fmt"

	"gannet/replication/internal/plant"
)

// Result is what came of one run.
type Result struct {
	Seed   uint64
	Trace  uint64 // hash of all that happened
	Broken string // the invariant that broke; empty: none
	Nanos  int64  // simulated
	Steps  uint64
	Counts Counts
}

const (
	chaosNanos = 18 * second
	healNanos  = 10 * second
	quietNanos = 1500 * millisecond
)

// Run simulates a seed.
func Run(seed uint64) Result { return run(seed, plant.None, nil) }

// Trace is Run with a line for each thing that happens.
func Trace(seed uint64, fault string, line func(string)) Result {
	for f := plant.None; f < plant.Faults; f++ {
		if f.String() == fault {
			return run(seed, f, line)
		}
	}
	return Result{Seed: seed, Broken: fmt.Sprintf("there is no fault %q", fault)}
}

func run(seed uint64, fault plant.Fault, verbose func(string)) Result {
	w := newWorld(seed, fault, verbose)
	w.every(20*millisecond, w.net.connectAll)
	w.after(3*second, func() { w.chaos(chaosNanos) })
	w.runUntil(chaosNanos)
	w.heal()
	w.runUntil(chaosNanos + healNanos)
	for _, c := range w.clients {
		c.quiet = true
	}
	w.runUntil(chaosNanos + healNanos + quietNanos)
	if w.check.broken == "" {
		w.check.converged()
	}
	return Result{Seed: seed, Trace: w.trace.Sum64(), Broken: w.check.broken, Nanos: w.now, Steps: w.steps, Counts: w.check.counts}
}
