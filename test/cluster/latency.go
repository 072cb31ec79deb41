package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"gannet/client"
	"gannet/test/cluster/bed"
	"gannet/test/cluster/load"
)

const (
	searchTime   = 2 * time.Second
	searchFirst  = 10_000
	searchFactor = 1.3
	// A rate is kept up with while so much of it is sent and answered within
	// searchWithin.
	searchShare  = 0.98
	searchWithin = 50 * time.Millisecond
	mostSteal    = 0.10
)

// measureLatency looks for the highest rate that nodes, clients and kernel keep up with
// on this machine, and reads at half of it.
func measureLatency(ctx context.Context, e *env) error {
	rounds, length := 5, 3*time.Second
	if e.full {
		rounds, length = 20, 10*time.Second
	}
	return e.withCluster(ctx, bed.Config{}, func(b *bed.Bed, c *client.Client) error {
		load.ShortSlices()
		highest, err := searchRate(ctx, b, c)
		if err != nil {
			return err
		}
		var took []time.Duration
		dropped, reads := 0, 0
		for round := range rounds {
			h, from, to, steal, err := loadFor(ctx, b, c, highest/2, length, uint64(round))
			if err != nil {
				return err
			}
			p99 := h.ReadLatency(0.99, from, to)
			fmt.Fprintf(os.Stderr, "   %.0f/s: p50 %.2f ms, p99 %.2f ms, begun %.2f ms late at p99, steal %.1f %%\n",
				h.Rate(from, to), inMillis(h.ReadLatency(0.5, from, to)), inMillis(p99), inMillis(h.ReadLateness(0.99, from, to)), 100*steal)
			if steal > mostSteal {
				dropped++
				continue
			}
			reads += h.Reads(from, to)
			took = append(took, p99)
		}
		if len(took) == 0 {
			return fmt.Errorf("%w: in all %d rounds the hypervisor stole over %.0f %%", errVoid, rounds, 100*mostSteal)
		}
		slices.Sort(took)
		note := fmt.Sprintf("GETs of 1 KB among 10 %% writes at %d/s, half the highest rate found for three nodes, client and kernel on %d cores; "+
			"median of %d rounds, %.2f to %.2f; %d rounds dropped for steal", highest/2, runtime.NumCPU(), len(took), inMillis(took[0]), inMillis(took[len(took)-1]), dropped)
		e.table.AtMost("p99_ms", inMillis(quantileOf(took, 0.5)), 1, int64(reads), "ms", note)
		return nil
	})
}

// reportUsage says what an operation has cost each part, with all that it did meanwhile.
func reportUsage(before, after map[string]bed.Usage, span time.Duration, ops int) {
	for _, part := range bed.Parts() {
		u := after[part].Sub(before[part])
		each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / float64(max(ops, 1)) }
		fmt.Fprintf(os.Stderr, "   %-17s %6.2f µs of CPU an operation, %6.2f µs of waiting for one; %.2f CPUs\n", part, each(u.Run), each(u.Waited), u.Run.Seconds()/span.Seconds())
	}
}

// searchRate raises the rate until it is not kept up with.
func searchRate(ctx context.Context, b *bed.Bed, c *client.Client) (highest int, err error) {
	if given := os.Getenv("LATENCY_RATE"); given != "" {
		highest, err = strconv.Atoi(given)
		return 2 * highest, err
	}
	for rate := searchFirst; ; rate = int(float64(rate) * searchFactor) {
		h, from, to, _, err := loadFor(ctx, b, c, rate, searchTime, 99)
		if err != nil {
			return 0, err
		}
		soon, sent := h.AnsweredWithin(searchWithin, from, to)
		kept := h.Rate(from, to) >= searchShare*float64(rate) && float64(soon) >= searchShare*float64(sent)
		fmt.Fprintf(os.Stderr, "   %d/s: %.0f sent, %.4f of the reads answered within %v\n", rate, h.Rate(from, to), float64(soon)/float64(max(1, sent)), searchWithin)
		if !kept {
			break
		}
		highest = rate
	}
	if highest == 0 {
		return 0, fmt.Errorf("%w: not even %d requests/s are kept up with", errVoid, searchFirst)
	}
	return highest, nil
}

// loadFor offers a load for some time.
func loadFor(ctx context.Context, b *bed.Bed, c *client.Client, rate int, length time.Duration, seed uint64) (h *load.History, from, to int64, steal float64, err error) {
	cfg := loadConfig(seed)
	cfg.Rate, cfg.DeleteShare = rate, 0
	l := load.Start(ctx, c, cfg)
	used, err := b.Usage()
	if err != nil {
		return nil, 0, 0, 0, err
	}
	before := readSteal()
	from = l.Now()
	err = sleep(ctx, length)
	to = l.Now()
	after := readSteal()
	usedAll, usageErr := b.Usage()
	h = l.Stop()
	reportUsage(used, usedAll, time.Duration(to-from), h.Ops(from, to))
	return h, from, to, (after.steal - before.steal) / max(1, after.all-before.all), errors.Join(err, usageErr)
}
