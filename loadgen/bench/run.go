package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Run offers the load and says what became of it. A void result is no error.
func Run(ctx context.Context, o Options) (_ *Result, err error) {
	s, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if s.opt.Preload {
		if err := s.preload(ctx); err != nil {
			return nil, err
		}
	}
	return s.offer(ctx)
}

// Preload stores every key, and does nothing else.
func Preload(ctx context.Context, o Options) (err error) {
	if o.Protocol == Echo {
		return optionError("nothing can be stored by echo")
	}
	o.Preload = true
	s, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return s.preload(ctx)
}

// preload lets each shard be filled by the first worker that has lanes to it.
func (s *session) preload(ctx context.Context) error {
	owned := make([][]bool, len(s.workers))
	for i := range owned {
		owned[i] = make([]bool, s.target.shards)
	}
	for shard := range s.target.shards {
		for i, w := range s.workers {
			if len(w.byShard[shard].all) > 0 {
				owned[i][shard] = true
				break
			}
		}
	}
	show := s.show(PhasePreload, 0)
	defer show()
	err := s.all(ctx, func(w *worker) error {
		return w.fill(newStoring(&s.opt, s.storeEach(), owned[w.number]))
	})
	if err != nil {
		return fmt.Errorf("bench: preload: %w", err)
	}
	return nil
}

// startGap is the time that threads get to be ready.
const startGap = 10 * time.Millisecond

// offer runs the load once.
func (s *session) offer(ctx context.Context) (*Result, error) {
	start := s.clock.nanos() + int64(startGap)
	from := start + int64(s.opt.WarmUp)
	window := span{from, from + int64(s.opt.Duration)}
	for _, w := range s.workers {
		w.reset(start, window, s.weight(w))
	}
	steals := make(chan [2]steal, 1)
	go s.accompany(window, steals)
	err := s.all(ctx, (*worker).run)
	during := <-steals
	s.show(PhaseDone, 0)()
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	return s.result(during[1], during[0]), nil
}

// reset makes a worker ready for another run.
func (w *worker) reset(start int64, window span, weight float64) {
	w.start, w.window, w.source, w.schedule = start, window, w.drawing, nil
	w.counts[phaseAround], w.counts[phaseWindow] = counts{}, counts{}
	w.latency.Reset()
	w.busy, w.nextShow = busy{}, 0
	w.draft.keys, w.resend = w.draft.keys[:0], w.resend[:0]
	w.totals.publish(&w.counts)
	switch {
	case weight == 0:
		w.source = nil
	case w.opt.Open:
		w.schedule = newSchedule(start, w.opt.Rate*weight, w.opt.Arrivals, newRandom(^w.opt.Seed, w.number))
	default:
		w.limit = max(int(float64(w.opt.InFlight)*weight+0.5), 1)
	}
}

// accompany reports the phases of a run and reads the steal at the window's ends.
func (s *session) accompany(window span, steals chan<- [2]steal) {
	var during [2]steal
	until := func(nanos int64) time.Duration { return time.Duration(nanos - s.clock.nanos()) }
	stopShow := s.show(PhaseWarmUp, s.opt.WarmUp)
	s.pause(until(window.from))
	stopShow()
	during[0], _ = readSteal() // without it no steal is subtracted
	stopShow = s.show(PhaseMeasure, s.opt.Duration)
	s.pause(until(window.to))
	stopShow()
	during[1], _ = readSteal()
	s.show(PhaseDrain, s.opt.Timeout)()
	steals <- during
}

// pause sleeps, unless the run is stopped.
func (s *session) pause(d time.Duration) {
	const look = 20 * time.Millisecond
	for end := time.Now().Add(d); !s.stop.Load(); {
		left := time.Until(end)
		if left <= 0 {
			return
		}
		time.Sleep(min(left, look))
	}
}

// show reports progress now and every second until the function that it returns is
// called.
func (s *session) show(p Phase, of time.Duration) (end func()) {
	if s.opt.Progress == nil {
		return func() {}
	}
	began := time.Now()
	s.opt.Progress(s.progress(p, of, began))
	ended, quit := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.opt.Progress(s.progress(p, of, began))
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-ended }
}

func (s *session) progress(p Phase, of time.Duration, began time.Time) Progress {
	now := Progress{Phase: p, Of: of, Elapsed: time.Since(began), BootNanos: bootNanos()}
	for _, w := range s.workers {
		now.Stored += int(w.totals.stored.Load())
		now.Requests += w.totals.requests.Load()
		now.Replies += w.totals.replies.Load()
		now.Keys += w.totals.keys.Load()
		now.Lost += w.totals.lost.Load()
		now.Errors += w.totals.errors.Load()
	}
	return now
}

// voidShare is how busy a generator may be before it measures itself.
const voidShare = 0.9

// unsentShare is the part of a schedule that may stay unsent before the offered rate
// was not offered.
const unsentShare = 0.01

// result sums up.
func (s *session) result(now, earlier steal) *Result {
	r := &Result{
		Protocol: s.opt.Protocol, Datapath: s.opt.Datapath, Server: s.opt.Server.String(), Workload: s.opt.describe(),
		KeysPerRequest: uint64(s.opt.KeysPerRequest), Elapsed: s.opt.Duration, Latency: newHistogram(),
	}
	var sum counts
	for _, w := range s.workers {
		sum.add(&w.counts[phaseWindow])
		r.Latency.Merge(w.latency)
		stolen := now.share(earlier, w.cpu)
		t := Thread{CPU: w.cpu, Utilisation: w.busy.share(stolen), CPUSeconds: float64(w.busy.cpuNanos) / 1e9}
		if keys := w.counts[phaseWindow].keys; keys > 0 {
			t.NanosPerKey = float64(min(w.busy.nanos, w.busy.cpuNanos)) / float64(keys)
		}
		r.StealShare = max(r.StealShare, stolen)
		r.Utilisation = max(r.Utilisation, t.Utilisation)
		r.Threads = append(r.Threads, t)
	}
	r.fill(&sum)
	if s.opt.Open {
		r.OfferedRate = s.opt.Rate
	}
	r.judge()
	return r
}

func (r *Result) fill(c *counts) {
	r.Requests, r.Replies, r.Lost, r.Late, r.Unsent = c.requests, c.replies, c.lost, c.late, c.unsent
	r.Keys, r.Hits, r.Misses, r.Stored, r.Corrupt = c.keys, c.hits, c.misses, c.stored, c.corrupt
	r.Errors = namesOf(&c.errors)
	seconds := r.Elapsed.Seconds()
	r.Rate, r.KeyRate = float64(c.replies)/seconds, float64(c.keys)/seconds
	if all := c.requests + c.unsent; all > 0 {
		r.LossShare = float64(c.lost+c.unsent)/float64(all) + float64(c.refused())/float64(max(c.keys, 1))
	}
	if c.stages > 0 {
		r.Stages = &StagesMeans{float64(c.queuedNanos) / float64(c.stages), float64(c.servedNanos) / float64(c.stages)}
	}
	const us = 1000.0
	quantile := func(q float64) float64 { return float64(r.Latency.ValueAtQuantile(q)) / us }
	r.LatencyUS = Percentiles{
		Mean: r.Latency.Mean() / us, Min: float64(r.Latency.Min()) / us, Max: float64(r.Latency.Max()) / us,
		P50: quantile(50), P90: quantile(90), P99: quantile(99), P999: quantile(99.9),
	}
	if encoded, err := r.Latency.EncodeV2(); err == nil { // a histogram of our own always can be
		r.HDR = string(encoded)
	}
}

// judge says when the figures are the generator's own.
func (r *Result) judge() {
	all, wrong := r.Requests+r.Unsent, uint64(0)
	for _, n := range r.Errors {
		wrong += n
	}
	switch {
	case r.Utilisation > voidShare:
		r.Void, r.VoidReason = true, fmt.Sprintf("the generator was busy for %.0f %% of its time: give it more threads, or cores of its own", 100*r.Utilisation)
	case r.Replies == 0:
		r.Void, r.VoidReason = true, "no request was answered"
	case r.Keys == wrong && wrong > 0:
		r.Void, r.VoidReason = true, fmt.Sprintf("every answer was an error: %v", r.Errors)
	case r.Corrupt > 0:
		r.Void, r.VoidReason = true, fmt.Sprintf("%d values were not what was stored", r.Corrupt)
	case float64(r.Unsent) > unsentShare*float64(all):
		r.Void, r.VoidReason = true, fmt.Sprintf("%d of %d requests could not be sent when they were due", r.Unsent, all)
	}
}

// describe is the workload in words.
func (o *Options) describe() string {
	loop := fmt.Sprintf("closed loop, %d requests in flight", o.InFlight)
	if o.Open {
		loop = fmt.Sprintf("open loop, %.0f requests/s, %s", o.Rate, o.Arrivals)
	}
	if o.Protocol == Echo {
		return fmt.Sprintf("%s, payloads of %s", loop, o.ValueSize)
	}
	popularity := "uniform"
	switch {
	case o.Popularity != nil:
		popularity = "popularity of a model"
	case o.ZipfS > 0:
		popularity = fmt.Sprintf("Zipf %g", o.ZipfS)
	}
	return fmt.Sprintf("%s, %d keys a request, %g %% writes, %d keys of %d bytes, %s, values of %s", loop,
		o.KeysPerRequest, 100*o.WriteRatio, o.Keys, o.KeyBytes, popularity, o.ValueSize)
}
