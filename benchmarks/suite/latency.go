package suite

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"gannet/benchmarks/load"
	"gannet/benchmarks/rival"
	"gannet/benchmarks/stats"
	"gannet/loadgen/bench"
	"gannet/test/rows"
)

// Loads of a latency run.
const (
	loadOwn   = "own"   // a share of the subject's own highest rate
	loadEqual = "equal" // the same for all: a share of memcached's highest rate
)

var (
	ownShares   = []float64{0.3, 0.5, 0.7}
	equalShares = []float64{0.25, 0.5}
)

// tailShare is the equal load at which tails are compared.
const tailShare = 0.5

// ownRounds is how often each own load is measured: these are only reported.
const ownRounds = 3

// latency finds each subject's highest rate and measures what its clients wait for
// below it.
func (r *runner) latency(ctx context.Context) error {
	group := oneKey()
	ids := []string{gannet1K, memcached1K, redis1K, goMsg1K}
	if r.Only != "" {
		ids = ids[:2]
	}
	highest := map[string]float64{}
	for _, id := range ids {
		if !slices.ContainsFunc(r.doc.Subjects, func(s Subject) bool { return s.ID == id }) {
			r.doc.Subjects = append(r.doc.Subjects, *group.subject(id))
		}
		rate, err := r.sweep(ctx, group.subject(id))
		if err != nil {
			return err
		}
		highest[id] = rate
	}
	for round := range r.Rounds {
		for _, id := range ids[:2] { // in turns: both see the same weather
			if err := r.offer(ctx, group.subject(id), loadEqual, highest[memcached1K], equalShares, round); err != nil {
				return err
			}
		}
	}
	if r.Only == "" {
		for round := range min(ownRounds, r.Rounds) {
			for _, id := range ids {
				if err := r.offer(ctx, group.subject(id), loadOwn, highest[id], ownShares, round); err != nil {
					return err
				}
			}
		}
	}
	r.latencyRows(ids)
	return nil
}

// sweepTries is how often a sweep is begun: on a rented machine a moment without CPU
// in its first step ends it.
const sweepTries = 3

// sweep returns the highest rate with a loss below 0.1 %.
func (r *runner) sweep(ctx context.Context, s *Subject) (float64, error) {
	var found *bench.SweepResult
	for try := 0; try < sweepTries && (found == nil || found.Highest == 0); try++ {
		var err error
		if found, err = r.sweepOnce(ctx, s); err != nil {
			return 0, err
		}
	}
	if found.Highest == 0 {
		return 0, fmt.Errorf("%s sustained none of the rates of %d sweeps", s.ID, sweepTries)
	}
	r.doc.Sweeps = append(r.doc.Sweeps, newSweep(s, found))
	limit := ""
	if found.Limited {
		limit = ", where the generator reached its own limit"
	}
	r.doc.Add(rows.Row{
		ID: "highest_" + s.ID, Value: found.Highest, N: int64(len(found.Steps)), Unit: "requests/s",
		Note: s.Title + ", loss below 0.1 %" + limit,
	}.Reported())
	return found.Highest, nil
}

// sweepOnce raises the rate from where a short closed loop says that the limit may be.
func (r *runner) sweepOnce(ctx context.Context, s *Subject) (found *bench.SweepResult, err error) {
	err = r.served(ctx, s, func(l *link, server *rival.Running) error {
		t := r.saturated()
		t.measure /= 2
		full, err := r.inside(ctx, l, meter(l, server), s.job(t, GeneratorCPU))
		if err != nil {
			return err
		}
		rate := full.Result.Rate
		j := s.paced(timing{200 * time.Millisecond, r.paced().measure / 2}, GeneratorCPU, 0)
		j.Preload = false
		j.Sweep = &bench.RateSteps{First: 0.3 * rate, Step: 0.1 * rate, Last: 1.4 * rate}
		report, err := r.inside(ctx, l, meter(l, server), j)
		if err != nil {
			return err
		}
		found = report.Sweep
		return nil
	})
	return found, err
}

func newSweep(s *Subject, found *bench.SweepResult) Sweep {
	sweep := Sweep{Subject: s.ID, Highest: found.Highest, Limited: found.Limited}
	for _, step := range found.Steps {
		sweep.Steps = append(sweep.Steps, SweepStep{
			Offered: step.OfferedRate, Rate: step.Rate, LossShare: step.LossShare, LatencyUS: step.LatencyUS, Void: step.VoidReason,
		})
	}
	return sweep
}

// offer runs a subject under shares of a rate, open loop.
func (r *runner) offer(ctx context.Context, s *Subject, kind string, rate float64, shares []float64, round int) error {
	return r.served(ctx, s, func(l *link, server *rival.Running) error {
		for i, share := range shares {
			j := s.paced(r.paced(), GeneratorCPU, share*rate)
			j.Preload, j.Seed = i == 0, uint64(round+1)
			report, err := r.inside(ctx, l, meter(l, server), j)
			if err != nil {
				return err
			}
			if bad := report.Result; bad.Corrupt > 0 || bad.Misses > 0 {
				return fmt.Errorf("%d values were not what was stored, %d were not found", bad.Corrupt, bad.Misses)
			}
			run := newLatencyRun(s, kind, share, round, report)
			r.doc.Latency = append(r.doc.Latency, run)
			r.logf("  round %d  %-22s %s %2.0f %%: %8.0f/s  p50 %6.0f  p99 %7.0f  p99.9 %7.0f µs  %6.0f ns/key  %s",
				round+1, s.ID, kind, 100*share, run.Offered, run.LatencyUS.P50, run.LatencyUS.P99, run.LatencyUS.P999, run.Nanos, run.Void)
		}
		return nil
	})
}

func newLatencyRun(s *Subject, kind string, share float64, round int, report *load.Report) LatencyRun {
	result := report.Result
	run := LatencyRun{
		Subject: s.ID, Load: kind, Share: share, Round: round, Offered: result.OfferedRate,
		Nanos: float64(report.Cost.Nanos()) / float64(max(report.Keys, 1)), LossShare: result.LossShare,
		Steal: max(report.Cost.Steal(), result.StealShare), Requests: result.Requests, LatencyUS: result.LatencyUS, HDR: result.HDR,
	}
	switch {
	case run.Steal > mostSteal:
		run.Void = fmt.Sprintf("the hypervisor took %.0f %% of a core", 100*run.Steal)
	case result.Void:
		run.Void = result.VoidReason
	case result.Replies == 0:
		run.Void = "nothing was answered"
	}
	return run
}

// series are a subject's runs under one load by round, NaN where void.
func (r *runner) series(subject, kind string, share float64, figure func(*LatencyRun) float64) []float64 {
	var found []float64
	for i := range r.doc.Latency {
		run := &r.doc.Latency[i]
		if run.Subject != subject || run.Load != kind || run.Share != share {
			continue
		}
		if run.Void != "" {
			found = append(found, math.NaN())
		} else {
			found = append(found, figure(run))
		}
	}
	return found
}

func (r *runner) requestsUnder(kind string, share float64, subjects ...string) (n int64) {
	for _, run := range r.doc.Latency {
		for _, s := range subjects {
			if run.Subject == s && run.Load == kind && run.Share == share && run.Void == "" {
				n += int64(run.Requests)
			}
		}
	}
	return n
}

// Figures of a latency run.
func p50(l *LatencyRun) float64   { return l.LatencyUS.P50 }
func p99(l *LatencyRun) float64   { return l.LatencyUS.P99 }
func p999(l *LatencyRun) float64  { return l.LatencyUS.P999 }
func nanos(l *LatencyRun) float64 { return l.Nanos }

func (r *runner) latencyRows(ids []string) {
	tail, ok := r.equalRow("tail", tailShare, p99, "p99")
	switch {
	case ok:
		r.doc.Add(tail.AtMost(0.5))
	default:
		r.doc.Void("tail", fmt.Errorf("%d good rounds of %d", tail.Rounds, r.Rounds))
	}
	for _, reported := range []struct {
		id     string
		share  float64
		figure func(*LatencyRun) float64
		what   string
	}{{"tail_p99.9", tailShare, p999, "p99.9"}, {"equal_25", 0.25, nanos, "server ns/GET"}, {"equal_50", 0.5, nanos, "server ns/GET"}} {
		if row, ok := r.equalRow(reported.id, reported.share, reported.figure, reported.what); ok {
			r.doc.Add(row.Reported())
		}
	}
	for _, id := range ids {
		r.ownRows(id)
	}
}

// equalRow compares Gannet with memcached at the same offered load.
func (r *runner) equalRow(id string, share float64, figure func(*LatencyRun) float64, what string) (rows.Row, bool) {
	over, under := r.series(gannet1K, loadEqual, share, figure), r.series(memcached1K, loadEqual, share, figure)
	ratios := stats.Ratios(over, under)
	return rows.Row{
		ID: id, Value: stats.Median(ratios), N: r.requestsUnder(loadEqual, share, gannet1K, memcached1K), Unit: "ratio",
		Rounds: len(ratios), Spread: stats.Spread(ratios),
		Note: fmt.Sprintf("%s at %.0f %% of memcached UDP's highest rate, 1 KB: Gannet ÷ memcached UDP (%.4g ÷ %.4g)",
			what, 100*share, stats.Median(stats.Known(over)), stats.Median(stats.Known(under))),
	}, len(ratios) >= r.enough()
}

func (r *runner) ownRows(id string) {
	for _, share := range ownShares {
		for _, p := range []struct {
			name   string
			figure func(*LatencyRun) float64
		}{{"p50", p50}, {"p99", p99}, {"p99.9", p999}} {
			good := stats.Known(r.series(id, loadOwn, share, p.figure))
			if len(good) == 0 {
				continue
			}
			r.doc.Add(rows.Row{
				ID: fmt.Sprintf("%s_%s_%.0f", p.name, id, 100*share), Value: stats.Median(good), N: r.requestsUnder(loadOwn, share, id),
				Unit: "µs", Rounds: len(good), Spread: stats.Spread(good), Note: fmt.Sprintf("at %.0f %% of its own highest rate", 100*share),
			}.Reported())
		}
	}
}
