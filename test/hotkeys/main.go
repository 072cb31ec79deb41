package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"gannet/bpf"
	"gannet/test/rows"
)

// scale is how much is done.
type scale struct {
	testRuns int64 // reads answered through BPF_PROG_TEST_RUN
	wire     int64 // reads on the wire
	rounds   int
	round    time.Duration
}

var (
	quick = scale{testRuns: 500_000, wire: 50_000, rounds: 3, round: time.Second}
	full  = scale{testRuns: 100_000_000, wire: 10_000_000, rounds: 7, round: 5 * time.Second}
)

// group measures rows that share a set-up.
type group struct {
	ids []string
	run func(ctx context.Context, t *rows.Table, s scale) error
}

var groups = []group{
	{[]string{"hot_torn", "hot_stale"}, checkTestRuns},
	{[]string{"hot_torn", "hot_stale"}, checkWire},
	{[]string{"hot_share", "hot_core"}, checkShare},
}

func main() {
	out := flag.String("out", "out/hotkeys.json", "where the rows go")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := quick
	if os.Getenv("FULL") == "1" {
		s = full
	}
	table := &rows.Table{}
	measured := measure(ctx, table, s, os.Getenv("ONLY"))
	if err := table.Write(*out); err != nil {
		fmt.Fprintln(os.Stderr, "hotkeys:", err)
		os.Exit(1)
	}
	table.Print(os.Stdout)
	if measured == 0 {
		fmt.Fprintf(os.Stderr, "hotkeys: ONLY=%s names no row\n", os.Getenv("ONLY"))
	}
	if measured == 0 || table.AnyVoid() {
		os.Exit(1)
	}
}

// measure runs the groups that have a row named only, or all.
func measure(ctx context.Context, t *rows.Table, s scale, only string) (measured int) {
	for _, g := range groups {
		if only != "" && !slices.Contains(g.ids, only) {
			continue
		}
		measured++
		if err := g.run(ctx, t, s); err != nil {
			for _, id := range g.ids {
				t.Void(id, err)
			}
		}
	}
	return measured
}

// warmGETs are enough for the sketch to know every key that is asked for more than
// once in 512 times.
const warmGETs = 300_000

var errNoTest = errors.New("nothing was shown")

func checkTestRuns(ctx context.Context, t *rows.Table, s scale) error {
	c, err := newChurn()
	if err != nil {
		return err
	}
	defer c.close()
	o, err := c.run(ctx, s.testRuns)
	if err != nil {
		return err
	}
	counted := c.steer.Counters()
	if uint64(o.hits) != counted[bpf.Answered] || counted[bpf.HotBusy] == 0 {
		return fmt.Errorf("%w: %d answers seen, %d counted, %d of %d writes met a reader",
			errNoTest, o.hits, counted[bpf.Answered], counted[bpf.HotBusy], o.writes)
	}
	note := fmt.Sprintf("BPF_PROG_TEST_RUN, IPv4, IPv6, with and without VLAN tag; %d writes, %d of them in the middle of a copy",
		o.writes, counted[bpf.HotBusy])
	addOutcome(t, &o, o.hits, note)
	return nil
}

func checkWire(ctx context.Context, t *rows.Table, s scale) (err error) {
	n, err := startNode(nodeOptions{hot: true, passNanos: 500_000})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	o, err := (&wireChurn{node: n}).run(ctx, s.wire)
	if err != nil {
		return err
	}
	hits := n.answered()
	if hits < uint64(s.wire)/4 {
		return fmt.Errorf("%w: the kernel answered %d of %d reads", errNoTest, hits, o.reads)
	}
	addOutcome(t, &o, o.reads, fmt.Sprintf("veth, IPv4 and IPv6; %d writes, %d reads answered by the kernel", o.writes, hits))
	return nil
}

func addOutcome(t *rows.Table, o *outcome, n int64, note string) {
	if o.first != nil {
		note += "; first: " + o.first.Error()
	}
	t.AtMost("hot_torn", float64(o.torn), 0, n, "reads", note)
	t.AtMost("hot_stale", float64(o.stale), 0, n, "reads", note)
}

// checkShare runs rounds in turn on two nodes, one with the stage and one without.
func checkShare(ctx context.Context, t *rows.Table, s scale) (err error) {
	var nodes [2]*node // with, without
	var loads [2]*load
	for i := range nodes {
		if nodes[i], err = startNode(nodeOptions{hot: i == 0}); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, nodes[i].close()) }()
		if loads[i], err = newLoad(nodes[i], uint64(i)); err != nil {
			return err
		}
		// What is hot is found and published; caches are warm.
		for gets := int64(0); gets < warmGETs; {
			f, err := nodes[i].round(ctx, loads[i], s.round)
			if err != nil {
				return err
			}
			gets += f.gets
		}
	}
	var ratios, shares []float64
	var gets int64
	for tries := 0; len(ratios) < s.rounds; tries++ {
		var f [2]figures
		for i := range nodes {
			if f[i], err = nodes[i].round(ctx, loads[i], s.round); err != nil {
				return err
			}
		}
		if f[0].starved() || f[1].starved() {
			if tries > 4*s.rounds {
				return fmt.Errorf("%w: too many GETs are lost: the machine is too busy", errNoTest)
			}
			continue
		}
		fmt.Fprintf(os.Stderr, "with: %d GETs, %d by the kernel, %.0f ns; without: %d GETs, %.0f ns\n",
			f[0].gets, f[0].kernel, f[0].nanos, f[1].gets, f[1].nanos)
		ratios = append(ratios, f[0].nanos/f[1].nanos)
		shares = append(shares, float64(f[0].kernel)/float64(f[0].gets))
		gets += f[0].gets + f[1].gets
	}
	what := fmt.Sprintf("Zipf %.1f over %d keys, values of %d bytes, the %d most frequent keys padded, %d in flight from a kernel socket",
		loadAlpha, loadKeys, loadValue, loadPadded, inFlight)
	t.Report("hot_share", median(shares), gets, "of GETs", what)
	t.Report("hot_core", median(ratios), gets, "with ÷ without", what+"; loop and NAPI thread on one core, run time a GET")
	return nil
}

// starved says that the machine was too busy for a round to show anything: more
// than one GET in a hundred was lost in a queue that nobody emptied.
func (f *figures) starved() bool { return f.lost*100 > f.gets }

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
