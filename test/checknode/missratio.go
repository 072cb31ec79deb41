package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"

	"gannet/loadgen"
	"gannet/loadgen/trace"
	"gannet/shard/evict"
)

// leastCapacity is the smallest capacity at which policies are compared: below
// it a handful of objects decides.
const leastCapacity = 1000

// quickTraces are replayed without FULL=1, too: all but the longest.
func (e *env) references() []reference {
	if e.full {
		return references
	}
	var quick []reference
	for _, r := range references {
		if r.path != "cache2k/orm-busy.trace.xz" {
			quick = append(quick, r)
		}
	}
	return quick
}

// missRatio replays one trace into one shard with room for capacity items.
func (e *env) missRatio(ctx context.Context, ref reference, policy string, capacity int) (float64, int64, error) {
	r, err := trace.Open(filepath.Join(e.traces, ref.path), ref.format)
	if err != nil {
		return 0, 0, fmt.Errorf("set GANNET_TRACES to the folder of the real traces: %w", err)
	}
	defer r.Close()
	report, err := loadgen.ReplayInProcess(ctx, loadgen.InProcessOptions{
		Source: r, Trace: ref.path, Format: ref.format, Policy: policy, CapacityItems: capacity, ValueBytes: 1,
	})
	if err != nil {
		return 0, 0, err
	}
	if report.Corrupt != 0 || report.Errors != 0 {
		return 0, 0, fmt.Errorf("%s, %s: %d errors, %d corrupt", ref.path, policy, report.Errors, report.Corrupt)
	}
	return report.MissRatio, report.Requests, nil
}

func checkLRU(ctx context.Context, e *env) error {
	var worst float64
	var requests int64
	at := ""
	for _, ref := range e.references() {
		for i, capacity := range ref.capacity {
			got, n, err := e.missRatio(ctx, ref, "lru", capacity)
			if err != nil {
				return err
			}
			requests += n
			if diff := math.Abs(got - ref.lru[i]); diff >= worst {
				worst, at = diff, fmt.Sprintf("%s at %d", ref.path, capacity)
			}
		}
	}
	e.table.AtMost("lru_exact", worst, 0.001, requests, "difference of miss ratios", "greatest, "+at)
	return nil
}

func checkDefaultPolicy(ctx context.Context, e *env) error {
	var vsS3, worstLRU, sumLRU, vsBest float64
	var atS3, atLRU, atBest string
	var requests, rows int64
	for _, ref := range e.references() {
		for i, capacity := range ref.capacity {
			if capacity < leastCapacity {
				continue
			}
			got, n, err := e.missRatio(ctx, ref, evict.Default, capacity)
			if err != nil {
				return err
			}
			where := fmt.Sprintf("%s at %d", ref.path, capacity)
			requests, rows = requests+n, rows+1
			sumLRU += got / ref.lru[i]
			if r := got / ref.s3fifo[i]; r > vsS3 {
				vsS3, atS3 = r, where
			}
			if r := got / ref.lru[i]; r > worstLRU {
				worstLRU, atLRU = r, where
			}
			if r := got / ref.best[i]; r > vsBest {
				vsBest, atBest = r, where
			}
		}
	}
	note := fmt.Sprintf("policy %s, worst of %d: %s; ÷ best listed online policy %.3f at %s", evict.Default, rows, atS3, vsBest, atBest)
	e.table.AtMost("default_vs_s3fifo", vsS3, 1.02, requests, "ratio of miss ratios", note)
	e.table.AtMost("default_vs_lru", sumLRU/float64(rows), 0.95, requests, "mean ratio of miss ratios", "")
	e.table.AtMost("default_vs_lru", worstLRU, 1.09, requests, "worst ratio of miss ratios", atLRU)
	return nil
}
