package suite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"gannet/benchmarks/load"
	"gannet/benchmarks/rival"
	"gannet/benchmarks/stats"
	"gannet/loadgen/bench"
	"gannet/test/rows"
)

// Limits of a good round.
const (
	mostSteal = 0.10
	leastBusy = 0.90
	// mostLost is the share of lossy answers that may be lost: see Subject.lossy.
	mostLost = 0.05
	// leastKernel is the share of GETs that XDP must have answered for a figure to be
	// that of hot keys; those before they were hot count, too. mostProcess is what the
	// server's process may then use of the time.
	leastKernel = 0.5
	mostProcess = 0.2
)

// group measures a group's subjects round by round and adds its rows.
func (r *runner) group(ctx context.Context, g *Group) error {
	r.doc.Subjects = append(r.doc.Subjects, g.Subjects...)
	from := len(r.doc.Rounds)
	for round := 0; round < r.most() && !r.satisfied(g, r.doc.Rounds[from:], round); round++ {
		for i := range g.Subjects {
			if err := r.round(ctx, &g.Subjects[i], round); err != nil {
				return err
			}
		}
	}
	for i := range g.Ratios {
		r.ratioRow(&g.Ratios[i], r.doc.Rounds[from:])
	}
	for i := range g.Subjects {
		r.costRow(&g.Subjects[i], r.doc.Rounds[from:])
	}
	return nil
}

// satisfied says whether every ratio has the rounds wanted, and every subject was
// measured in at least that many.
func (r *runner) satisfied(g *Group, rounds []Round, done int) bool {
	if done < r.Rounds {
		return false
	}
	for _, ratio := range g.Ratios {
		if len(stats.Ratios(figures(rounds, ratio.Over), figures(rounds, ratio.Under))) < r.Rounds {
			return false
		}
	}
	return true
}

// round measures one subject once.
func (r *runner) round(ctx context.Context, s *Subject, number int) error {
	var report *load.Report
	err := r.served(ctx, s, func(l *link, server *rival.Running) (err error) {
		report, err = r.slowed(ctx, l, server, s)
		if err != nil {
			return err
		}
		return sound(s, report.Result)
	})
	if err != nil {
		return err
	}
	round := newRound(s, number, report)
	r.doc.Rounds = append(r.doc.Rounds, round)
	r.logf("  round %d  %-22s %7.0f ns/key  poll %5.0f  busy %3.0f %%  steal %2.0f %%  %8.0f keys/s  generator %3.0f %%  %s",
		number+1, s.ID, round.Nanos, round.Poll, 100*round.Busy, 100*round.Steal, round.KeyRate, 100*round.Generator, round.Void)
	return nil
}

// slowed loads a server whose core has ballast.
func (r *runner) slowed(ctx context.Context, l *link, server *rival.Running, s *Subject) (report *load.Report, err error) {
	m := meter(l, server)
	if s.Ballast > 0 {
		b, err := startBallast(ctx, r.Self, s.Ballast)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, b.stop()) }()
		m.Ballast = b.thread
	}
	report, err = r.inside(ctx, l, m, s.job(r.saturated(), GeneratorCPU))
	if err != nil || !s.KernelAnswers {
		return report, err
	}
	report.KernelShare, err = r.kernelShare(ctx, l, rival.Address(s.Protocol).String())
	return report, err
}

// kernelShare asks a node which share of its GETs the XDP program has answered.
func (r *runner) kernelShare(ctx context.Context, l *link, server string) (float64, error) {
	var counters struct {
		Gets       float64 `json:"gets"`
		KernelHits float64 `json:"kernel_hits"`
	}
	var said strings.Builder
	err := l.lab.RunJSON(ctx, &counters, &said, filepath.Join(r.Bin, "gannet"), "stats", "--server", server, "-o", "json")
	if err != nil {
		return 0, fmt.Errorf("suite: %w: %s", err, said.String())
	}
	return counters.KernelHits / max(counters.KernelHits+counters.Gets, 1), nil
}

// sound finds fault with results that no repetition makes good.
func sound(s *Subject, r *bench.Result) error {
	switch {
	case r.Corrupt > 0:
		return fmt.Errorf("%d values were not what was stored", r.Corrupt)
	case r.Misses > 0 && !s.lossy():
		return fmt.Errorf("%d keys were not found: all were stored before", r.Misses)
	case r.Keys == 0:
		return errors.New("nothing was answered")
	}
	return nil
}

// newRound divides what was spent by what was answered.
func newRound(s *Subject, number int, report *load.Report) Round {
	c, result := report.Cost, report.Result
	per := func(nanos int64) float64 { return float64(nanos) / float64(max(report.Keys, 1)) }
	round := Round{
		Subject: s.ID, Round: number, Keys: report.Keys,
		Nanos: per(c.Nanos()), Poll: per(c.PollNanos), NotIdle: per(c.NotIdleNanos()), Elsewhere: per(c.OtherNanos),
		Busy: c.Busy(), Steal: c.Steal(), KeyRate: result.KeyRate, Generator: result.Utilisation,
		LossShare: result.LossShare, LatencyUS: result.LatencyUS, KernelShare: report.KernelShare,
	}
	round.User = per(c.ServerNanos) * c.UserShare
	round.System = per(c.ServerNanos) - round.User
	switch {
	case report.Keys == 0:
		round.Void = "nothing was answered while it was measured"
	case float64(result.Misses) > mostLost*float64(result.Keys):
		round.Void = fmt.Sprintf("%d of %d values were lost on the link", result.Misses, result.Keys)
	case len(result.Errors) > 0:
		round.Void = fmt.Sprintf("answered with errors: %v", result.Errors)
	case round.Steal > mostSteal:
		round.Void = fmt.Sprintf("the hypervisor took %.0f %% of the server's core", 100*round.Steal)
	case round.Busy < leastBusy:
		round.Void = fmt.Sprintf("the server used %.1f %% of its core: not saturated", 100*round.Busy)
	case result.Void:
		round.Void = result.VoidReason
	case s.KernelAnswers && (round.KernelShare < leastKernel || float64(c.ServerNanos) > mostProcess*float64(c.Nanos())):
		round.Void = fmt.Sprintf("the kernel answered %.0f %% of the GETs, and the server's process used %.0f %% of the time: the keys were not hot",
			100*round.KernelShare, 100*float64(c.ServerNanos)/float64(c.Nanos()))
	}
	return round
}

// figures are a subject's rounds in order, NaN where void.
func figures(all []Round, subject string) []float64 {
	var found []float64
	for _, round := range all {
		if round.Subject != subject {
			continue
		}
		if round.Void != "" {
			found = append(found, math.NaN())
		} else {
			found = append(found, round.Nanos)
		}
	}
	return found
}

// keysOf sums the keys of a subject's good rounds.
func keysOf(all []Round, subjects ...string) (n int64) {
	for _, round := range all {
		if round.Void == "" && slices.Contains(subjects, round.Subject) {
			n += int64(round.Keys)
		}
	}
	return n
}

// lastVoid is why a subject's last void round was void.
func lastVoid(all []Round, subjects ...string) string {
	why := "no round was measured"
	for _, round := range all {
		if round.Void != "" && slices.Contains(subjects, round.Subject) {
			why = round.Subject + ": " + round.Void
		}
	}
	return why
}

func (r *runner) ratioRow(q *Ratio, rounds []Round) {
	over, under := figures(rounds, q.Over), figures(rounds, q.Under)
	ratios := stats.Ratios(over, under)
	if len(ratios) < r.enough() {
		r.doc.Void(q.Row, fmt.Errorf("%d good rounds of %d; %s", len(ratios), len(over), lastVoid(rounds, q.Over, q.Under)))
		return
	}
	row := rows.Row{
		ID: q.Row, Value: stats.Median(ratios), N: keysOf(rounds, q.Over, q.Under), Unit: "ratio",
		Rounds: len(ratios), Spread: stats.Spread(ratios),
		Note: fmt.Sprintf("%s (%.0f ÷ %.0f ns)", q.Note, stats.Median(stats.Known(over)), stats.Median(stats.Known(under))),
	}
	if q.AtLeast {
		r.doc.Add(row.AtLeast(q.Goal))
	} else {
		r.doc.Add(row.AtMost(q.Goal))
	}
}

// costRow reports a subject's own figure. It is never void: a goal's row is, if it
// matters; here the row is left out.
func (r *runner) costRow(s *Subject, rounds []Round) {
	good := stats.Known(figures(rounds, s.ID))
	if len(good) == 0 {
		r.logf("  %s: no good round: %s", s.ID, lastVoid(rounds, s.ID))
		return
	}
	r.doc.Add(rows.Row{
		ID: "us_" + s.ID, Value: stats.Median(good) / 1000, N: keysOf(rounds, s.ID), Unit: "µs of the server's core a key",
		Rounds: len(good), Spread: stats.Spread(good), Note: fmt.Sprintf("%s, saturated, %d keys a request", s.Title, s.KeysPerRequest),
	}.Reported())
}

// crossCheckRow reports how much more the server's core did than was counted: what
// else ran there, and interrupts.
func (r *runner) crossCheckRow() {
	var over []float64
	var keys int64
	for _, round := range r.doc.Rounds {
		if round.Void == "" && round.Nanos > 0 {
			over = append(over, round.NotIdle/round.Nanos)
			keys += int64(round.Keys)
		}
	}
	if len(over) == 0 {
		return
	}
	r.doc.Add(rows.Row{
		ID: "cross_check", Value: stats.Median(over), N: keys, Unit: "ratio", Rounds: len(over), Spread: stats.Spread(over),
		Note: "time the server's core was neither idle nor stolen nor ballast ÷ time that was counted, all good rounds",
	}.Reported())
}
