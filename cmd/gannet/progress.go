package main

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"gannet/loadgen"
)

const (
	barSteps = 1000
	// Where nobody looks on, such as in a log, a line now and then is enough.
	lineEvery = 5 * time.Second
)

// progress shows how far a replay has come: a bar on a terminal, else lines.
type progress struct {
	out   io.Writer
	share func(requests int64) float64
	bar   *progressbar.ProgressBar // nil: lines
	next  time.Duration            // of the next line
}

func newProgress(out io.Writer, share func(requests int64) float64) *progress {
	p := &progress{out: out, share: share, next: lineEvery}
	if isTerminal(out) {
		p.bar = progressbar.NewOptions64(barSteps,
			progressbar.OptionSetWriter(out), progressbar.OptionSetWidth(30), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetPredictTime(true), progressbar.OptionSetElapsedTime(true), progressbar.OptionClearOnFinish())
	}
	return p
}

func (p *progress) show(now loadgen.Progress) {
	rate := 0.0
	if seconds := now.Elapsed.Seconds(); seconds > 0 {
		rate = float64(now.Requests) / seconds
	}
	share := p.share(now.Requests)
	if p.bar != nil {
		p.bar.Describe(fmt.Sprintf("%d requests, %.0f/s", now.Requests, rate))
		_ = p.bar.Set64(int64(share * barSteps)) // a bar that cannot be drawn is no failure
		return
	}
	if now.Elapsed < p.next {
		return
	}
	p.next = now.Elapsed + lineEvery
	fmt.Fprintf(p.out, "replay: %.0f %%, %d requests, %.0f/s, %d errors, %s left\n",
		share*100, now.Requests, rate, now.Errors, timeLeft(now.Elapsed, share))
}

func timeLeft(elapsed time.Duration, share float64) string {
	if share <= 0 {
		return "unknown time"
	}
	return time.Duration(float64(elapsed) * (1 - share) / share).Round(time.Second).String()
}

func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
