package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gannet/test/rows"
)

const (
	goal      = 1.25
	leastRate = 900.0 // events a second
	mostSteal = 0.1
)

func main() {
	out := flag.String("out", "out/calm.json", "where the row goes")
	bin := flag.String("bin", "bin", "folder with the built binaries")
	rounds := flag.Int("rounds", 15, "interleaved rounds")
	half := flag.Duration("half", 4*time.Second, "how long half a round lasts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var table rows.Table
	row, err := measure(ctx, *bin, *rounds, *half)
	if err != nil {
		table.Void("calm", err)
	} else {
		table.Add(row)
	}
	if err := table.Write(*out); err != nil {
		fmt.Fprintln(os.Stderr, "calm:", err)
		os.Exit(1)
	}
	if table.AnyVoid() {
		os.Exit(1)
	}
}

// round is the late turns of both halves.
type round struct{ idle, busy float64 }

func measure(ctx context.Context, bin string, count int, half time.Duration) (rows.Row, error) {
	if runtime.NumCPU() < 2 {
		return rows.Row{}, fmt.Errorf("the shard needs a CPU of its own, and there is %d", runtime.NumCPU())
	}
	p, err := startPair(ctx, bin)
	if err != nil {
		return rows.Row{}, err
	}
	defer p.close()
	all, err := p.rounds(ctx, count, half)
	if err != nil {
		return rows.Row{}, err
	}
	var idle, busy float64
	for _, r := range all {
		idle, busy = idle+r.idle, busy+r.busy
	}
	minutes := half.Minutes() * float64(len(all))
	note := fmt.Sprintf("97.5th percentile of late turns under load ÷ idle; %.1f a minute idle, %.1f under load; plain ratio %.2f", idle/minutes, busy/minutes, ratio(all))
	return rows.Row{ID: "calm", Value: upperBound(all), N: int64(len(all)), Unit: "ratio", Note: note, Rounds: len(all)}.AtMost(goal), nil
}

// stayOnFirstCPU keeps this program, and what it starts from now on, off the shard's
// CPU; the node measured keeps its own control process off it.
func stayOnFirstCPU() error {
	var set unix.CPUSet
	set.Set(0)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("calm: %w", err)
	}
	for _, t := range tasks { // threads made later inherit it
		var tid int
		if _, err := fmt.Sscan(t.Name(), &tid); err != nil {
			continue
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil {
			return fmt.Errorf("calm: bind to CPU 0: %w", err)
		}
	}
	return nil
}

// ratio of late turns; half a turn on both sides keeps a quiet machine from 0 ÷ 0.
func ratio(all []round) float64 {
	idle, busy := 0.5, 0.5
	for _, r := range all {
		idle, busy = idle+r.idle, busy+r.busy
	}
	return busy / idle
}

const bootstraps = 2000

// upperBound is the percentile bootstrap's (Efron 1979) upper end of the 95 % interval.
func upperBound(all []round) float64 {
	random := rand.New(rand.NewPCG(1, uint64(len(all))))
	ratios := make([]float64, bootstraps)
	sample := make([]round, len(all))
	for i := range ratios {
		for j := range sample {
			sample[j] = all[random.IntN(len(all))]
		}
		ratios[i] = ratio(sample)
	}
	slices.Sort(ratios)
	return ratios[bootstraps*975/1000]
}
