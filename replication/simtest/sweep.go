package simtest

import (
	"context"
	"runtime"
	"sync"

	"gannet/replication/internal/plant"
)

// Sums are what came of many runs.
type Sums struct {
	From, Seeds uint64
	Nanos       int64 // simulated
	Steps       uint64
	Trace       uint64 // of all traces together
	Counts      Counts
	Broken      []Result
	Plants      []Caught `json:",omitempty"`
}

// Hours is the simulated time.
func (s *Sums) Hours() float64 { return float64(s.Nanos) / 3600e9 }

func (s *Sums) add(r Result) {
	s.Seeds++
	s.Nanos += r.Nanos
	s.Steps += r.Steps
	s.Trace ^= r.Trace * (2*r.Seed + 1)
	s.Counts.add(r.Counts)
	if r.Broken != "" {
		s.Broken = append(s.Broken, r)
	}
}

func (c *Counts) add(o Counts) {
	c.Acked += o.Acked
	c.Degraded += o.Degraded
	c.Replicated += o.Replicated
	c.Lost += o.Lost
	c.Alone += o.Alone
	c.Promotions += o.Promotions
	c.Epochs += o.Epochs
	c.Handovers += o.Handovers
}

// Sweep runs seeds from one on, on all cores, and shows each result.
func Sweep(ctx context.Context, from, seeds uint64, show func(Result)) Sums {
	sums := Sums{From: from}
	var mu sync.Mutex
	inParallel(ctx, seeds, func(i uint64) {
		r := Run(from + i)
		mu.Lock()
		defer mu.Unlock()
		sums.add(r)
		show(r)
	})
	return sums
}

func inParallel(ctx context.Context, count uint64, run func(uint64)) {
	var wg sync.WaitGroup
	next := make(chan uint64)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				run(i)
			}
		})
	}
	for i := uint64(0); i < count && ctx.Err() == nil; i++ {
		next <- i
	}
	close(next)
	wg.Wait()
}

// Caught says how a planted fault came out.
type Caught struct {
	Fault  string
	Seed   uint64 // the first that showed it; 0: none did
	Broken string
}

// Plants tries each fault on seeds until one shows it.
func Plants(ctx context.Context, from, seeds uint64) []Caught {
	out := make([]Caught, plant.Faults-1)
	inParallel(ctx, uint64(len(out)), func(i uint64) {
		f := plant.Fault(i + 1)
		out[i].Fault = f.String()
		for seed := from; seed < from+seeds && ctx.Err() == nil; seed++ {
			if r := run(seed, f, nil); r.Broken != "" {
				out[i].Seed, out[i].Broken = seed, r.Broken
				return
			}
		}
	})
	return out
}
