// The program sim runs the simulator of the group logic: SEEDS seeds from FROM on
// (1,000 from 1), then every planted fault until a seed shows it. The same seed gives
// the same trace, on every machine; TRACE=1 prints it for the seed FROM, FAULT=name
// with a fault in it. It exits with 1 when an invariant broke, or a fault was missed.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"time"

	"gannet/replication/simtest"
)

func main() {
	debug.SetGCPercent(400) // a run holds a few MB; time is what there is little of
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	from, seeds := number("FROM", 1), number("SEEDS", 1000)
	if os.Getenv("TRACE") != "" {
		os.Exit(trace(from))
	}
	if !sweep(ctx, from, seeds) {
		os.Exit(1)
	}
}

// number reads a variable of the environment.
func number(name string, otherwise uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s=%q: give a number of 0 or more\n", name, text)
		os.Exit(2)
	}
	return n
}

func trace(seed uint64) int {
	fault := os.Getenv("FAULT")
	if fault == "" {
		fault = "none"
	}
	r := simtest.Trace(seed, fault, func(line string) { fmt.Println(line) })
	fmt.Printf("seed %d trace %016x %+v\n", r.Seed, r.Trace, r.Counts)
	if r.Broken != "" {
		fmt.Printf("BROKEN: %s\n", r.Broken)
		return 1
	}
	return 0
}

// sweep prints what came of it, and puts it into the file OUT as JSON.
func sweep(ctx context.Context, from, seeds uint64) bool {
	begin := time.Now()
	s := simtest.Sweep(ctx, from, seeds, func(r simtest.Result) {
		if r.Broken != "" {
			fmt.Printf("seed %d BROKEN: %s\n", r.Seed, r.Broken)
		}
	})
	fmt.Printf("%d seeds, %.2f simulated hours, %d steps in %v; %d broken\n",
		s.Seeds, s.Hours(), s.Steps, time.Since(begin).Round(time.Second), len(s.Broken))
	fmt.Printf("  %+v\n  hash of all traces %016x\n", s.Counts, s.Trace)
	s.Plants = simtest.Plants(ctx, 1, 150)
	caught := 0
	for _, c := range s.Plants {
		if c.Seed == 0 {
			fmt.Printf("  %-24s MISSED\n", c.Fault)
			continue
		}
		caught++
		fmt.Printf("  %-24s seed %3d: %s\n", c.Fault, c.Seed, c.Broken)
	}
	fmt.Printf("%d of %d planted faults caught; %v in all\n", caught, len(s.Plants), time.Since(begin).Round(time.Second))
	if out := os.Getenv("OUT"); out != "" && !write(out, s) {
		return false
	}
	return len(s.Broken) == 0 && caught == len(s.Plants) && s.Seeds == seeds
}

func write(path string, s simtest.Sums) bool {
	data, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(data, '\n'), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return err == nil
}
