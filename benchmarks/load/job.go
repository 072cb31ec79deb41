package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"gannet/benchmarks/cost"
	"gannet/loadgen/bench"
)

// Job is one load on one server.
type Job struct {
	Protocol       bench.Protocol
	Server         netip.AddrPort
	Datapath       bench.Datapath
	Interface      string
	Rate           float64 // open loop; 0 = closed, with InFlight
	InFlight       int
	Keys           int
	ValueBytes     int
	ZipfS          float64
	WriteRatio     float64
	KeysPerRequest int
	Connections    int
	PadToReply     bool
	Stages         bool
	CPU            int // of the generator
	Preload        bool
	WarmUp         time.Duration
	Duration       time.Duration
	Timeout        time.Duration
	Seed           uint64

	Meter cost.Meter
	// Sweep, if set, looks for the highest rate instead; Rate is not used.
	Sweep *bench.RateSteps
}

// Report is what a job found.
type Report struct {
	Result *bench.Result      `json:"result,omitempty"`
	Sweep  *bench.SweepResult `json:"sweep,omitempty"`
	Cost   cost.Cost          `json:"cost"`
	// Requests and Keys were answered while Cost was paid.
	Requests uint64 `json:"requests"`
	Keys     uint64 `json:"keys"`
	// KernelShare is for the suite to fill in: GETs answered by XDP.
	KernelShare float64 `json:"kernel_share,omitempty"`
}

func (j Job) options() bench.Options {
	return bench.Options{
		Protocol: j.Protocol, Server: j.Server, Datapath: j.Datapath, Interface: j.Interface,
		Open: j.Rate > 0 || j.Sweep != nil, Rate: j.Rate, InFlight: j.InFlight,
		Keys: j.Keys, ValueSize: bench.Fixed(j.ValueBytes), ZipfS: j.ZipfS, WriteRatio: j.WriteRatio,
		KeysPerRequest: j.KeysPerRequest, Connections: j.Connections, PadToReply: j.PadToReply, Stages: j.Stages,
		Threads: 1, CPUs: []int{j.CPU}, Preload: j.Preload, WarmUp: j.WarmUp, Duration: j.Duration, Timeout: j.Timeout, Seed: j.Seed,
	}
}

// Run does the job.
func (j Job) Run(ctx context.Context) (*Report, error) {
	o := j.options()
	if j.Sweep != nil {
		found, err := bench.Sweep(ctx, o, *j.Sweep, nil)
		if err != nil {
			return nil, fmt.Errorf("load: sweep: %w", err)
		}
		return &Report{Sweep: found}, nil
	}
	w := &window{meter: j.Meter}
	o.Progress = w.progress
	result, err := bench.Run(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	report, err := w.report()
	if err != nil {
		return nil, err
	}
	report.Result = result
	return report, nil
}

// window samples the server's use at both ends of the measured phase.
type window struct {
	meter      cost.Meter
	opened     bool
	closed     bool
	from, to   cost.Sample
	atOpening  bench.Progress
	atClosing  bench.Progress
	firstError error
}

// progress is called by the generator at each change of phase.
func (w *window) progress(p bench.Progress) {
	switch {
	case p.Phase == bench.PhaseMeasure && !w.opened:
		w.opened, w.atOpening = true, p
		w.from = w.sample()
	case w.opened && !w.closed && (p.Phase == bench.PhaseDrain || p.Phase == bench.PhaseDone):
		w.closed, w.atClosing = true, p
		w.to = w.sample()
	}
}

func (w *window) sample() cost.Sample {
	s, err := w.meter.Read()
	w.firstError = errors.Join(w.firstError, err)
	return s
}

// ErrNoWindow says that the generator never measured.
var ErrNoWindow = errors.New("load: the generator's measured phase did not begin and end")

func (w *window) report() (*Report, error) {
	if w.firstError != nil {
		return nil, w.firstError
	}
	if !w.closed {
		return nil, ErrNoWindow
	}
	return &Report{
		Cost:     cost.Between(w.from, w.to),
		Requests: w.atClosing.Replies - w.atOpening.Replies,
		Keys:     w.atClosing.Keys - w.atOpening.Keys,
	}, nil
}
