package bench

import (
	"context"
	"errors"
)

// RateSteps are the rates of a sweep, in requests a second: First, First + Step, …,
// up to Last.
type RateSteps struct {
	First, Last, Step float64
}

// SustainedLoss is the share of lost, unsent or refused requests below which a rate
// counts as sustained.
const SustainedLoss = 0.001

// SweepResult is what a sweep found.
type SweepResult struct {
	// Highest is the highest rate with a loss below SustainedLoss; 0 when none was.
	Highest float64   `json:"highest"`
	Steps   []*Result `json:"steps"`
	// Limited says that the generator, not the server, ended the sweep.
	Limited bool `json:"limited"`
}

// Sweep runs one rate after the other until two running are not sustained, the
// generator is at its own limit, or the steps are through. Only the first run
// preloads. Step, if not nil, is called after each.
func Sweep(ctx context.Context, o Options, steps RateSteps, step func(*Result)) (_ *SweepResult, err error) {
	if !(steps.First >= 1 && steps.Last >= steps.First && steps.Step >= 1) {
		return nil, optionError("rate steps %g:%g:%g: give first:last:step, each 1 or more, the last not below the first", steps.First, steps.Last, steps.Step)
	}
	o.Open, o.Rate = true, steps.First
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
	offer := func(rate float64) (*Result, error) {
		s.opt.Rate = rate
		r, err := s.offer(ctx)
		if err == nil && step != nil {
			step(r)
		}
		return r, err
	}
	return climb(steps, offer)
}

// climb raises the rate. It is the pure part of Sweep.
func climb(steps RateSteps, offer func(rate float64) (*Result, error)) (*SweepResult, error) {
	out := &SweepResult{}
	failures := 0
	for i := 0; ; i++ {
		rate := steps.First + float64(i)*steps.Step
		if rate > steps.Last*(1+1e-9) {
			return out, nil
		}
		r, err := offer(rate)
		if err != nil {
			return nil, err
		}
		out.Steps = append(out.Steps, r)
		switch {
		case r.Corrupt > 0:
			return out, nil
		case r.Void:
			out.Limited = true
			return out, nil
		case r.LossShare < SustainedLoss:
			out.Highest, failures = rate, 0
		default:
			if failures++; failures == 2 {
				return out, nil
			}
		}
	}
}
