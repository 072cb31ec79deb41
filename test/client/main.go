package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"gannet/test/cluster/bed"
	"gannet/test/rows"
)

// env is what every measurement gets.
type env struct {
	full  bool
	bin   string
	table *rows.Table
}

// group measures rows that share a set-up.
type group struct {
	ids []string
	run func(ctx context.Context, e *env) error
}

// groups in the order in which they run.
var groups = []group{
	{[]string{"get_allocs"}, checkAllocs},
	{[]string{"lease_fills"}, checkFills},
	{[]string{"lease_takeover"}, checkTakeover},
	{[]string{"stale_set_refused"}, checkStaleSets},
	{[]string{"soft_waits"}, checkSoftTTL},
	{[]string{"loss_goodput", "mixed_versions"}, checkLoss},
	{[]string{"incast_loss", "incast_goodput", "incast_p99", "incast_neighbour_ms", "liar_s", "wheel_error_us"}, checkIncast},
	{[]string{"hot_shard_drop"}, checkHotShard},
	{[]string{"l1_stale_ms", "l1_stale_lossy_ms"}, checkL1Staleness},
	{[]string{"bounded_load"}, checkSpread},
	{[]string{"retry_share"}, checkRetries},
	{[]string{"slow_node_cost"}, checkSlowNode},
	{[]string{"rest"}, checkREST},
	{[]string{"python_vectors"}, checkPython},
}

// tries is how often a group is measured until no row of it is void.
const tries = 3

func main() {
	out := flag.String("out", "out/client.json", "where the rows go")
	bin := flag.String("bin", "bin", "folder with the built binaries")
	inside := flag.String("inside", "", "internal: a job of a measurement, in a process of its own")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *inside != "" {
		fail(runInside(ctx, *inside))
		return
	}
	bed.Enter() // what follows runs in the namespace of a cluster's clients
	cleanEnv()
	e := &env{full: os.Getenv("FULL") == "1", bin: *bin, table: &rows.Table{}}
	measured := measureAll(ctx, e, os.Getenv("ONLY"))
	fail(e.table.Write(*out))
	e.table.Print(os.Stdout)
	switch {
	case ctx.Err() != nil:
		fail(errors.New("interrupted"))
	case measured == 0:
		fail(fmt.Errorf("ONLY=%s names no row", os.Getenv("ONLY")))
	case e.table.AnyVoid():
		os.Exit(1)
	}
}

// cleanEnv takes away what only Enter understands: nodes refuse variables of theirs
// that they do not know.
func cleanEnv() {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "GANNET_BED_") {
			_ = os.Unsetenv(name)
		}
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

// measureAll runs the groups that have a row named only, or all.
func measureAll(ctx context.Context, e *env, only string) (measured int) {
	for _, g := range groups {
		if ctx.Err() != nil || only != "" && !slices.Contains(g.ids, only) {
			continue
		}
		measured++
		begun := time.Now()
		e.table.Rows = append(e.table.Rows, measure(ctx, e, g)...)
		fmt.Fprintf(os.Stderr, "   %.0f s\n", time.Since(begun).Seconds())
	}
	return measured
}

// measure runs a group until none of its rows is void, or it has had its tries. Only
// the last try's rows count.
func measure(ctx context.Context, e *env, g group) []rows.Row {
	for try := 1; ; try++ {
		fmt.Fprintf(os.Stderr, "-- %s\n", strings.Join(g.ids, ", "))
		mine := *e
		mine.table = &rows.Table{}
		if err := g.run(ctx, &mine); err != nil {
			for _, id := range g.ids {
				mine.table.Void(id, err)
			}
		}
		if !mine.table.AnyVoid() || try == tries || ctx.Err() != nil {
			return mine.table.Rows
		}
	}
}
