package loadgen

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"gannet/client"
)

// Replay replays a trace against a node and returns what it saw. When the replay
// ends early, the report covers what was done, beside the error.
func Replay(ctx context.Context, o ReplayOptions) (*ReplayReport, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	c, err := o.open()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	limits, err := c.Limits(ctx)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	node, err := newMeter(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("replay: ask the node before the start: %w", err)
	}
	r := newReplay(c, &o, limits.MaxValueBytes)
	stop := func() {}
	if o.Connections > 1 { // with one, nothing else is in flight
		stop = node.run(ctx)
	}
	start := time.Now()
	err = r.run(ctx)
	report := r.report(time.Since(start))
	stop()
	if lookErr := node.look(context.WithoutCancel(ctx)); lookErr != nil && err == nil {
		err = fmt.Errorf("replay: ask the node after the end: %w", lookErr)
	}
	node.describe(report)
	return report, err
}

// How patient a replay is before it asks again. A request sent twice is read
// twice, and a policy may count that: a replay in the order of the trace, which is
// to be repeatable, asks again only when a datagram is surely lost.
const (
	patientRTO   = 250 * time.Millisecond
	impatientRTO = 20 * time.Millisecond
)

func (o *ReplayOptions) open() (*client.Client, error) {
	shortest := impatientRTO
	if o.Connections == 1 {
		shortest = patientRTO
	}
	return client.Open([]string{o.Server},
		client.WithTimeout(o.OpTimeout), client.WithSourcePorts(o.SourcePorts), client.WithRetransmit(shortest, patientRTO))
}

// replay is one replay under way.
type replay struct {
	options *ReplayOptions
	client  *client.Client
	dealer  *dealer
	workers []*worker
	start   time.Time
}

func newReplay(c *client.Client, o *ReplayOptions, maxValue int) *replay {
	r := &replay{options: o, client: c, dealer: newDealer(o), start: time.Now()}
	for range o.Connections {
		r.workers = append(r.workers, newWorker(c, maxValue, o.OpTimeout))
	}
	return r
}

// run deals the trace to the workers and waits for them.
func (r *replay) run(ctx context.Context) error {
	var wg sync.WaitGroup
	for i, w := range r.workers {
		wg.Go(func() { w.run(ctx, r.dealer.workers[i], r.dealer.free) })
	}
	stop := r.watch()
	err := r.dealer.run(ctx)
	wg.Wait()
	stop()
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// watch calls the progress function until the function it returns is called.
func (r *replay) watch() (stop func()) {
	show := r.options.Progress
	if show == nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				show(r.progress())
			case <-done:
				show(r.progress())
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

func (r *replay) progress() Progress {
	p := Progress{Elapsed: time.Since(r.start)}
	for _, w := range r.workers {
		p.Requests += w.requests.Load()
		p.Hits += w.hits.Load()
		p.Errors += w.errors.Load()
	}
	return p
}

// report adds the workers' counts up.
func (r *replay) report(took time.Duration) *ReplayReport {
	out := &ReplayReport{Trace: r.options.Trace, Format: r.options.Format, Connections: r.options.Connections}
	all := hdrhistogram.New(1, longestLatency, 3)
	for _, w := range r.workers {
		out.add(&w.report)
		all.Merge(w.latency)
	}
	out.LatencyUS = quantiles(all)
	out.Resent = r.client.Counters().Resent
	out.finish(took.Seconds())
	return out
}

func (r *ReplayReport) add(o *ReplayReport) {
	r.Hits += o.Hits
	r.Misses += o.Misses
	r.Errors += o.Errors
	r.Corrupt += o.Corrupt
	r.Puts += o.Puts
	r.PutErrors += o.PutErrors
	r.TooLarge += o.TooLarge
	r.Deletes += o.Deletes
	r.Touches += o.Touches
	r.Retried += o.Retried
	if r.FirstError == "" {
		r.FirstError = o.FirstError
	}
}

// quantiles reads a histogram of nanoseconds in microseconds.
func quantiles(h *hdrhistogram.Histogram) Latency {
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
	return Latency{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1000}
}
