package loadgen

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"testing"
	"time"

	"gannet/loadgen/bench"
)

// machine is a model of node and generator: the node serves up to capacity, and
// beyond it keeps only a share of that; the generator sends up to its own limit.
type machine struct {
	capacity, kept, generator float64
	runs                      int
}

func (m *machine) run(_ context.Context, o bench.Options) (*bench.Result, error) {
	m.runs++
	offered := min(o.Rate, m.generator)
	good := min(offered, m.capacity)
	if offered > m.capacity {
		good *= m.kept
	}
	r := &bench.Result{Requests: uint64(offered), Hits: uint64(good), KeysPerRequest: 1, Elapsed: time.Second}
	r.Errors = map[string]uint64{"OVERLOADED": r.Requests - r.Hits}
	return r, nil
}

func measure(t *testing.T, m *machine) *OverloadReport {
	t.Helper()
	o := OverloadOptions{run: m.run}
	if err := o.setDefaults(); err != nil {
		t.Fatal(err)
	}
	r, err := o.measure(context.Background(), netip.MustParseAddrPort("127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOverloadFindsTheLimit(t *testing.T) {
	for _, kept := range []float64{1, 0.93, 0.5} {
		m := &machine{capacity: 100_000, kept: kept, generator: 1e9}
		r := measure(t, m)
		if r.HighestRate > m.capacity/sustained || r.HighestRate*DefaultGrowth < m.capacity {
			t.Errorf("highest rate %.0f of a node that serves %.0f", r.HighestRate, m.capacity)
		}
		want := min(2*r.HighestRate, m.capacity) * kept / min(r.HighestRate, m.capacity)
		if math.Abs(r.Ratio-want) > 0.01 || r.Void != "" || r.Shed == 0 || len(r.Ratios) != DefaultOverloadRounds {
			t.Errorf("kept %.2f: %+v, want a ratio of %.2f", kept, r, want)
		}
	}
}

func TestOverloadIsVoidWithoutALoad(t *testing.T) {
	if r := measure(t, &machine{capacity: 1e9, kept: 1, generator: 50_000}); r.Void == "" {
		t.Errorf("the generator never overloaded the node: %+v", r)
	}
	if r := measure(t, &machine{capacity: 100_000, kept: 1, generator: 120_000}); r.Void == "" {
		t.Errorf("the generator reached 1.2 × the limit, not 2 ×: %+v", r)
	}
}

func TestOverloadRefusesNonsense(t *testing.T) {
	for _, o := range []OverloadOptions{{Growth: 1}, {StepSeconds: 0.01}, {FirstRate: -1}, {Rounds: -1}} {
		if _, err := Overload(context.Background(), o); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v, want ErrOptions", o, err)
		}
	}
}
