package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"gannet/client"
	"gannet/test/rows"
)

// round is all ways after one another, and the neighbour alone.
type round struct {
	ways  [len(modeNames)]figures
	quiet []int64 // nanoseconds of each small GET
	steal float64 // share of the processors' time that the hypervisor kept
}

const (
	// stealMost is above which a round shows the hypervisor, not the lab.
	stealMost   = 0.1
	leastRounds = 3
	extraRounds = 3 // in place of those that do not count
)

// measureLab runs rounds until enough of them count, and judges their medians.
func measureLab(t *rows.Table, full bool) error {
	count, lasts := 5, 2*time.Second
	if full {
		count, lasts = 10, 10*time.Second
	}
	b, err := newBench()
	if err != nil {
		return err
	}
	err = b.measure(t, count, lasts)
	return errors.Join(err, b.close())
}

func (b *bench) measure(t *rows.Table, count int, lasts time.Duration) error {
	if _, err := b.do(b.net.client, job{Role: "fill"}); err != nil {
		return err
	}
	var all []round
	for tries := count + extraRounds; tries > 0 && len(all) < count; tries-- {
		r, err := b.round(lasts)
		if err != nil {
			return err
		}
		r.report(os.Stderr)
		if r.steal <= stealMost {
			all = append(all, r)
		}
	}
	if err := loaded(all); err != nil {
		return err
	}
	judge(t, all)
	return b.measureLiar(t)
}

// round measures everything once. Grants, which are judged, and the idle link have
// twice the time of what grants are compared with.
func (b *bench) round(lasts time.Duration) (r round, err error) {
	before, err := readProcessors()
	if err != nil {
		return r, err
	}
	d, err := b.do(b.net.neighbor, job{Role: "small", Lasts: lasts, Every: neighborEvery})
	if err != nil {
		return r, err
	}
	r.quiet = d.Nanos
	for mode := range r.ways {
		time := lasts / 2
		if client.IncastMode(mode) == client.IncastGrants {
			time = lasts
		}
		if r.ways[mode], err = b.run(client.IncastMode(mode), time); err != nil {
			return r, err
		}
	}
	after, err := readProcessors()
	r.steal = after.stolenSince(before)
	return r, err
}

// loaded says whether the load was there: without any control the buffer must
// overrun, else there was no incast to hold back.
func loaded(all []round) error {
	if len(all) < leastRounds {
		return fmt.Errorf("only %d rounds in which the hypervisor kept at most %.0f %% of the time", len(all), 100*stealMost)
	}
	none, calls := through(all, client.IncastNone), 0
	for i := range all {
		g := &all[i].ways[client.IncastGrants]
		calls += len(g.Calls)
		if g.wrong > 0 {
			return fmt.Errorf("%d values were wrong or missing: %s", g.wrong, g.problem)
		}
	}
	if none.lost() < 0.01 {
		return fmt.Errorf("no control lost %.2f %%: the buffer was not overrun", 100*none.lost())
	}
	if calls < 50 {
		return fmt.Errorf("only %d multi-gets with grants", calls)
	}
	return nil
}

// through adds up what a way sent through the bottleneck.
func through(all []round, mode client.IncastMode) (sum counted) {
	for i := range all {
		c := all[i].ways[mode].through
		sum = counted{sum.packets + c.packets, sum.dropped + c.dropped, sum.bytes + c.bytes}
	}
	return sum
}

// median is that of a figure over the rounds.
func median(all []round, of func(*round) float64) float64 {
	var v []float64
	for i := range all {
		v = append(v, of(&all[i]))
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func ofWay(mode client.IncastMode, figure func(*figures) float64) func(*round) float64 {
	return func(r *round) float64 { return figure(&r.ways[mode]) }
}

func (f *figures) p99() float64         { return quantile(f.Calls, 0.99) / idealNanos }
func (f *figures) neighborP99() float64 { return quantile(f.neighbors, 0.99) / 1e6 }

func judge(t *rows.Table, all []round) {
	const grants, window, none = client.IncastGrants, client.IncastWindow, client.IncastNone
	each := func(mode client.IncastMode, figure func(*figures) float64) float64 {
		return median(all, ofWay(mode, figure))
	}
	var calls, small int64
	for i := range all {
		calls += int64(len(all[i].ways[grants].Calls))
		small += int64(len(all[i].ways[grants].neighbors))
	}
	rounds := fmt.Sprintf("median of %d rounds", len(all))
	lost := through(all, grants)
	t.AtMost("incast_loss", lost.lost(), 0.001, int64(lost.packets), "of datagrams",
		fmt.Sprintf("grants, all %d rounds; window %.4f, no control %.4f", len(all), through(all, window).lost(), through(all, none).lost()))
	t.AtLeast("incast_goodput", each(grants, (*figures).goodput), 0.95, calls, "of the bottleneck",
		fmt.Sprintf("grants, bytes on the wire, %s; window %.3f, no control %.3f", rounds, each(window, (*figures).goodput), each(none, (*figures).goodput)))
	ratio := median(all, func(r *round) float64 { return r.ways[grants].goodput() / max(r.ways[window].goodput(), 1e-9) })
	t.AtLeast("incast_goodput", ratio, 1, calls, "× the window's", rounds)
	t.AtMost("incast_p99", each(grants, (*figures).p99), 1.2, calls, "× bytes ÷ rate",
		fmt.Sprintf("grants, %s; window %.2f, no control %.2f; bytes ÷ rate is %.2f ms", rounds, each(window, (*figures).p99),
			each(none, (*figures).p99), idealNanos/1e6))
	alone := median(all, func(r *round) float64 { return quantile(r.quiet, 0.99) / 1e6 })
	t.AtMost("incast_neighbour_ms", each(grants, (*figures).neighborP99), alone+1, small, "ms",
		fmt.Sprintf("p99 of small GETs beside grants, %s; unloaded %.2f, window %.2f, no control %.2f", rounds, alone,
			each(window, (*figures).neighborP99), each(none, (*figures).neighborP99)))
}

func (r *round) report(out io.Writer) {
	for mode := range r.ways {
		f := &r.ways[mode]
		fmt.Fprintf(out, "%-10s %4d calls, p50 %.3f p99 %.3f of ideal, goodput %.4f, lost %.5f, resent %d, wrong %d; neighbour p50 %.2f p99 %.2f ms %s\n",
			modeNames[mode], len(f.Calls), quantile(f.Calls, 0.5)/idealNanos, f.p99(), f.goodput(), f.through.lost(), f.resent, f.wrong,
			quantile(f.neighbors, 0.5)/1e6, f.neighborP99(), f.problem)
	}
	fmt.Fprintf(out, "%-10s neighbour p50 %.2f p99 %.2f ms; stolen %.1f %%\n", "unloaded", quantile(r.quiet, 0.5)/1e6, quantile(r.quiet, 0.99)/1e6, 100*r.steal)
}
