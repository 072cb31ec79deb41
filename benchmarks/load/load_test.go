package load

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"reflect"
	"testing"
	"time"

	"gannet/benchmarks/cost"
	"gannet/loadgen/bench"
)

// TestWindowIsTheMeasuredPhase: what was answered before and after it does not count.
func TestWindowIsTheMeasuredPhase(t *testing.T) {
	w := &window{meter: cost.Meter{PID: os.Getpid()}}
	for _, p := range []bench.Progress{
		{Phase: bench.PhasePreload, Stored: 5},
		{Phase: bench.PhaseWarmUp, Replies: 10, Keys: 160},
		{Phase: bench.PhaseMeasure, Replies: 100, Keys: 1600},
		{Phase: bench.PhaseMeasure, Replies: 200, Keys: 3200},
		{Phase: bench.PhaseDrain, Replies: 350, Keys: 5600},
		{Phase: bench.PhaseDone, Replies: 999, Keys: 9999},
	} {
		w.progress(p)
	}
	got, err := w.report()
	if err != nil || got.Requests != 250 || got.Keys != 4000 || got.Cost.WallNanos <= 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWindowThatNeverClosed(t *testing.T) {
	w := &window{meter: cost.Meter{PID: os.Getpid()}}
	w.progress(bench.Progress{Phase: bench.PhaseMeasure})
	if _, err := w.report(); !errors.Is(err, ErrNoWindow) {
		t.Errorf("%v", err)
	}
}

func TestServerThatEndedIsAnError(t *testing.T) {
	w := &window{meter: cost.Meter{PID: 1 << 30}}
	w.progress(bench.Progress{Phase: bench.PhaseMeasure})
	w.progress(bench.Progress{Phase: bench.PhaseDrain})
	if _, err := w.report(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestJobSurvivesJSON(t *testing.T) {
	job := Job{
		Protocol: bench.Redis, Server: netip.MustParseAddrPort("10.0.0.1:6379"), Rate: 5, Duration: time.Second,
		Meter: cost.Meter{PID: 7, CPU: 1, Poll: []int{8, 9}, Ballast: 10}, Sweep: &bench.RateSteps{First: 1, Last: 2, Step: 1},
	}
	data, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	var back Job
	if err := json.Unmarshal(data, &back); err != nil || !reflect.DeepEqual(back, job) {
		t.Errorf("%+v, %v", back, err)
	}
	if o := back.options(); !o.Open || o.Rate != 5 || o.Threads != 1 {
		t.Errorf("%+v", o)
	}
	if o := (Job{InFlight: 9}).options(); o.Open || o.InFlight != 9 {
		t.Errorf("without a rate: %+v", o)
	}
}
