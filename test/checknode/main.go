// Command checknode measures one node and writes out/node.json: what the shard
// costs and keeps, how the data plane comes back from the dead, what garbage and
// overload do to it. It exits 0 when everything was measured, also where a figure
// falls short of its goal; a row that could not be measured makes it fail.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"gannet/test/rows"
)

// env is what every measurement gets.
type env struct {
	full   bool
	bin    string
	traces string
	table  *rows.Table
}

// group measures rows that share a set-up.
type group struct {
	ids []string
	run func(ctx context.Context, e *env) error
}

// groups in the order in which they run.
var groups = []group{
	{[]string{"imbalance"}, checkImbalance},
	{[]string{"batched_get", "batch_gain"}, checkBatchedGet},
	{[]string{"overhead_lru", "overhead_default"}, checkOverhead},
	{[]string{"lru_exact"}, checkLRU},
	{[]string{"default_vs_s3fifo", "default_vs_lru"}, checkDefaultPolicy},
	{[]string{"warm_first_hit_ms", "warm_items", "warm_corrupt"}, checkWarm},
	{[]string{"watchdog_ms"}, checkWatchdog},
	{[]string{"idle_cpu"}, checkIdle},
	{[]string{"fuzz_alive", "amplification"}, checkFuzz},
	{[]string{"overload"}, checkOverload},
}

func main() {
	out := flag.String("out", "out/node.json", "where the rows go")
	bin := flag.String("bin", "bin", "folder with the built binaries")
	traces := flag.String("traces", defaultTraces(), "folder with the real traces")
	inside := flag.String("inside", "", "internal: the part of a measurement that runs in the client's namespace")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *inside != "" {
		if err := runInside(ctx, *inside); err != nil {
			fmt.Fprintln(os.Stderr, "checknode:", err)
			os.Exit(1)
		}
		return
	}
	e := &env{full: os.Getenv("FULL") == "1", bin: *bin, traces: *traces, table: &rows.Table{}}
	measured := measure(ctx, e, os.Getenv("ONLY"))
	if err := e.table.Write(*out); err != nil {
		fmt.Fprintln(os.Stderr, "checknode:", err)
		os.Exit(1)
	}
	e.table.Print(os.Stdout)
	if measured == 0 {
		fmt.Fprintf(os.Stderr, "checknode: ONLY=%s names no row\n", os.Getenv("ONLY"))
		os.Exit(1)
	}
	if e.table.AnyVoid() {
		os.Exit(1)
	}
}

// measure runs the groups that have a row named only, or all.
func measure(ctx context.Context, e *env, only string) (measured int) {
	for _, g := range groups {
		if only != "" && !slices.Contains(g.ids, only) {
			continue
		}
		measured++
		fmt.Fprintf(os.Stderr, "-- %s\n", strings.Join(g.ids, ", "))
		if err := g.run(ctx, e); err != nil {
			for _, id := range g.ids {
				e.table.Void(id, err)
			}
		}
	}
	return measured
}

func defaultTraces() string {
	if dir := os.Getenv("GANNET_TRACES"); dir != "" {
		return dir
	}
	return "../shared/traces"
}
