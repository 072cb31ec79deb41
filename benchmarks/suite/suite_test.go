package suite

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gannet/benchmarks/cost"
	"gannet/benchmarks/load"
	"gannet/loadgen/bench"
	"gannet/test/rows"
)

// report is one in which a million keys cost 3 µs each on a full core.
func report() *load.Report {
	return &load.Report{
		Keys: 1_000_000,
		Cost: cost.Cost{WallNanos: 4e9, BallastNanos: 8e8, ServerNanos: 2e9, PollNanos: 1e9, UserShare: 0.75},
		Result: &bench.Result{
			Keys: 1_000_000, Requests: 1_000_000,
		},
	}
}

func TestRoundDividesTimeByKeys(t *testing.T) {
	got := newRound(&Subject{ID: "s"}, 2, report())
	if got.Nanos != 3000 || got.Poll != 1000 || got.User != 1500 || got.System != 500 || got.NotIdle != 3200 || got.Void != "" || got.Round != 2 {
		t.Errorf("%+v", got)
	}
}

func TestRoundsThatShowNothingAreVoid(t *testing.T) {
	for want, change := range map[string]func(*load.Report, *Subject){
		"hypervisor":    func(r *load.Report, _ *Subject) { r.Cost.StealNanos = 5e8 },
		"not saturated": func(r *load.Report, _ *Subject) { r.Cost.ServerNanos = 1e9 },
		"was the limit": func(r *load.Report, _ *Subject) {
			r.Result.Void, r.Result.VoidReason = true, "the generator was the limit"
		},
		"errors":               func(r *load.Report, _ *Subject) { r.Result.Errors = map[string]uint64{"UNAVAILABLE": 1} },
		"nothing was answered": func(r *load.Report, _ *Subject) { r.Keys = 0 },
		"not hot":              func(r *load.Report, s *Subject) { s.KernelAnswers, r.KernelShare = true, 0.1 },
	} {
		r, s := report(), &Subject{ID: "s"}
		change(r, s)
		if got := newRound(s, 0, r); !strings.Contains(got.Void, want) {
			t.Errorf("void: %q, want something about %q", got.Void, want)
		}
	}
	hot := report()
	hot.KernelShare, hot.Cost.ServerNanos, hot.Cost.PollNanos = 0.8, 2e8, 28e8
	if got := newRound(&Subject{KernelAnswers: true}, 0, hot); got.Void != "" {
		t.Errorf("a round of hot keys is void: %s", got.Void)
	}
}

func TestWrongValuesAndMissesEndTheMeasurement(t *testing.T) {
	for _, bad := range []bench.Result{{Keys: 5, Corrupt: 1}, {Keys: 5, Misses: 1}, {}} {
		if sound(&Subject{}, &bad) == nil {
			t.Errorf("%+v was taken for sound", bad)
		}
	}
	if err := sound(&Subject{}, &bench.Result{Keys: 5}); err != nil {
		t.Error(err)
	}
	multi := &Subject{Protocol: bench.MemcachedUDP, KeysPerRequest: 16}
	if err := sound(multi, &bench.Result{Keys: 1000, Misses: 10}); err != nil {
		t.Errorf("lost datagrams of a multi-get: %v", err)
	}
	lost := report()
	lost.Result.Misses = 100_000
	if got := newRound(multi, 0, lost); !strings.Contains(got.Void, "lost") {
		t.Errorf("a tenth of the values was lost: %q", got.Void)
	}
}

// newRunner has rounds in which a costs twice b, but for the last two, of which one is
// void and one wild.
func newRunner() *runner {
	r := &runner{Config: Config{Rounds: 5, Log: nopLog{}}, doc: &Document{}}
	for i := range 5 {
		r.doc.Rounds = append(
			r.doc.Rounds,
			Round{Subject: "a", Round: i, Nanos: 200 * float64(i+1), Keys: 10},
			Round{Subject: "b", Round: i, Nanos: 100 * float64(i+1), Keys: 10},
		)
	}
	r.doc.Rounds[6].Void, r.doc.Rounds[8].Nanos = "stolen", 1e9
	return r
}

type nopLog struct{}

func (nopLog) Write(p []byte) (int, error) { return len(p), nil }

func TestRatiosAreTakenWithinARound(t *testing.T) {
	r := newRunner()
	r.ratioRow(&Ratio{Row: "x", Over: "a", Under: "b", Goal: 1.5}, r.doc.Rounds)
	got := r.doc.Rows[0]
	if got.Value != 2 || got.Rounds != 4 || got.Met || *got.Goal != 1.5 || got.N != 90 || got.Spread != 0 {
		t.Errorf("%+v", got)
	}
	r.ratioRow(&Ratio{Row: "y", Over: "b", Under: "a", Goal: 0.4, AtLeast: true}, r.doc.Rounds)
	if got := r.doc.Rows[1]; got.Value != 0.5 || !got.Met {
		t.Errorf("%+v", got)
	}
}

func TestTooFewGoodRoundsAreVoid(t *testing.T) {
	r := newRunner()
	for i := range r.doc.Rounds {
		if r.doc.Rounds[i].Subject == "a" && i > 2 {
			r.doc.Rounds[i].Void = "the weather"
		}
	}
	r.ratioRow(&Ratio{Row: "x", Over: "a", Under: "b", Goal: 9}, r.doc.Rounds)
	if got := r.doc.Rows[0]; !got.Void || got.Met || !strings.Contains(got.Note, "the weather") {
		t.Errorf("%+v", got)
	}
}

func TestGroupGoesOnUntilItHasItsRounds(t *testing.T) {
	r := newRunner()
	g := &Group{Ratios: []Ratio{{Row: "x", Over: "a", Under: "b"}}}
	if r.satisfied(g, r.doc.Rounds, 5) {
		t.Error("four good rounds of five pass for five")
	}
	r.doc.Rounds[6].Void = ""
	if !r.satisfied(g, r.doc.Rounds, 5) || r.satisfied(g, r.doc.Rounds, 4) {
		t.Error("five good rounds are enough, and no less")
	}
}

func TestFailedPartLeavesVoidRows(t *testing.T) {
	r := newRunner()
	r.doc.Add(rows.Row{ID: "have"}.Reported())
	r.voidMissing([]string{"have", "lack"}, 0, errors.New("it broke"))
	if len(r.doc.Rows) != 2 || r.doc.Rows[1].ID != "lack" || !r.doc.Rows[1].Void {
		t.Errorf("%+v", r.doc.Rows)
	}
}

// TestGroupsAreWhole: every ratio names subjects of its group, and all of a group weigh
// the same.
func TestGroupsAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range groups() {
		for _, q := range g.Ratios {
			if g.subject(q.Over) == nil || g.subject(q.Under) == nil || q.Goal <= 0 {
				t.Errorf("%s: %s ÷ %s", q.Row, q.Over, q.Under)
			}
			if kept := g.only(q.Row); kept == nil || kept.subject(q.Over) == nil || kept.subject(q.Under) == nil {
				t.Errorf("ONLY=%s keeps %+v", q.Row, kept)
			}
		}
		for _, s := range g.Subjects {
			if seen[s.ID] {
				t.Errorf("two subjects are called %s", s.ID)
			}
			seen[s.ID] = true
			if s.Ballast != g.Subjects[0].Ballast {
				t.Errorf("%s weighs %v, %s %v", s.ID, s.Ballast, g.Subjects[0].ID, g.Subjects[0].Ballast)
			}
			if s.MTU != g.Subjects[0].MTU {
				t.Errorf("%s and %s have different links", s.ID, g.Subjects[0].ID)
			}
		}
		if g.only("no such row") != nil {
			t.Error("a row that is not there was found")
		}
	}
}

func TestEveryRowHasAPart(t *testing.T) {
	r := newRunner()
	var ids []string
	for _, p := range r.parts() {
		ids = append(ids, p.ids...)
	}
	for _, want := range []string{"get1k", "get16", "put16", "echo", "reflect", "loop", "sg", "bytes", "tail", "mixed", "cores", "calm", "overload"} {
		if !slices.Contains(ids, want) {
			t.Errorf("no part measures %s", want)
		}
	}
}

// TestProgramsRowsAreTakenOver: those asked for, void ones too, though the program fails.
func TestProgramsRowsAreTakenOver(t *testing.T) {
	dir := t.TempDir()
	const program = `package main
import ("flag"; "os")
func main() {
	out := flag.String("out", "", "")
	flag.Parse()
	_ = os.WriteFile(*out, []byte(os.Getenv("ROWS")), 0o600)
	os.Exit(1)
}`
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRunner()
	r.Root = dir
	env := `ROWS={"rows":[{"id":"a","value":1,"goal":2,"met":true,"void":false,"n":1,"rounds":3},` +
		`{"id":"b","value":0,"goal":null,"met":false,"void":true,"n":0},{"id":"c","value":1,"goal":null,"met":true,"void":false,"n":1}]}`
	if err := r.program([]string{env}, []string{"main.go"}, "a", "b").run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.doc.Rows; len(got) != 2 || got[0].Rounds != 3 || !got[1].Void {
		t.Errorf("%+v", got)
	}
	if err := r.program([]string{"ROWS=x"}, []string{"main.go"}, "a").run(t.Context()); err == nil {
		t.Error("a program that wrote no rows passes")
	}
}

func TestLatencySeriesKeepRoundsApart(t *testing.T) {
	r := newRunner()
	for i, us := range []float64{10, 20, 30} {
		run := LatencyRun{Subject: gannet1K, Load: loadEqual, Share: tailShare, Round: i, Requests: 5}
		run.LatencyUS.P99 = us
		other := run
		other.Subject, other.LatencyUS.P99 = memcached1K, 4*us
		r.doc.Latency = append(r.doc.Latency, run, other)
	}
	row, ok := r.equalRow("tail", tailShare, p99, "p99")
	if !ok || row.Value != 0.25 || row.Rounds != 3 || row.N != 30 {
		t.Errorf("%+v, %v", row, ok)
	}
	r.doc.Latency[0].Void = "stolen"
	if got := r.series(gannet1K, loadEqual, tailShare, p99); !math.IsNaN(got[0]) || got[1] != 20 {
		t.Errorf("%v", got)
	}
	if _, ok := r.equalRow("tail", tailShare, p99, "p99"); ok {
		t.Error("two rounds pass for three")
	}
}

func TestDocumentReadsBack(t *testing.T) {
	r := newRunner()
	r.doc.Add(rows.Row{ID: "x", Value: 1, N: 1}.AtMost(2))
	r.doc.Servers = map[string]Server{"s": {Version: "1"}}
	path := filepath.Join(t.TempDir(), "out", "bench.json")
	if err := r.doc.Write(path); err != nil {
		t.Fatal(err)
	}
	back, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(back.Rounds) != 10 || !back.Rows[0].Met || back.Servers["s"].Version != "1" {
		t.Errorf("%+v", back)
	}
}
