// Command cluster measures a cluster of real nodes and writes out/cluster.json: what
// clients see when leaders die, fall silent, leave and join, when etcd is away, when
// gossip is split and certificates are revoked. It exits 0 when everything was
// measured, also where a figure falls short of its goal; a row that could not be
// measured makes it fail.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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
	full   bool
	bin    string
	traces string
	outDir string    // for plots
	log    io.Writer // nodes' logs; nil unless VERBOSE=1
	table  *rows.Table
}

// group measures rows that share a set-up.
type group struct {
	ids []string
	run func(ctx context.Context, e *env) error
}

// groups in the order in which they run. Those of FULL=1 are left out otherwise.
var groups = []group{
	{[]string{"ring_lookup_ns", "ring_balance", "ring_moved"}, measureRing},
	{[]string{"kill_failed_reads", "kill_write_ms", "kill_lost_writes", "stale_acks", "replicas_differ"}, checkKill},
	{[]string{"silent_write_ms", "early_promotions", "resurrections", "stale_acks", "replicas_differ"}, checkSilence},
	{[]string{"busy_promotions"}, checkBusy},
	{[]string{"availability", "replicas_differ"}, checkAvailability},
	{[]string{"etcd_down_errors"}, checkEtcdDown},
	{[]string{"gossip_heals"}, checkGossip},
	{[]string{"invalidation_gap_flush", "invalidation_ms"}, checkInvalidation},
	{[]string{"mtls_revoked_s", "mtls_reload_failed", "mtls_unclear_errors"}, checkMTLS},
	{[]string{"drain_failed"}, checkDrain},
	{[]string{"visible_ms"}, measureVisible},
	{[]string{"follower_warm"}, measureWarm},
	{[]string{"scale_hit_drop", "scale_p99"}, measureScale},
	{[]string{"p99_ms"}, measureLatency},
	{[]string{"sim_seeds", "sim_mutants"}, measureSim},
}

// fullOnly are run with FULL=1 only, or when named by ONLY.
var fullOnly = []string{"availability"}

// tries is how often a void group is measured at most.
const tries = 3

func main() {
	if seconds := os.Getenv(envStress); seconds != "" {
		burn(seconds)
		return
	}
	bed.Enter()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run() error {
	out := flag.String("out", "out/cluster.json", "where the rows go")
	bin := flag.String("bin", "bin", "folder with the built binaries")
	traces := flag.String("traces", defaultTraces(), "folder with the real traces")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	e := &env{full: os.Getenv("FULL") == "1", bin: *bin, traces: *traces, outDir: "out/cluster", table: &rows.Table{}}
	if os.Getenv("VERBOSE") == "1" {
		e.log = os.Stderr
	}
	only := os.Getenv("ONLY")
	measured := measure(ctx, e, only)
	if err := e.table.Write(*out); err != nil {
		return err
	}
	e.table.Print(os.Stdout)
	switch {
	case measured == 0:
		return fmt.Errorf("ONLY=%s names no row", only)
	case e.table.AnyVoid():
		return errors.New("some rows are void")
	}
	return nil
}

// measure runs the groups that have a row named only, or all.
func measure(ctx context.Context, e *env, only string) (measured int) {
	for _, g := range groups {
		switch {
		case only != "" && !slices.Contains(g.ids, only):
			continue
		case only == "" && !e.full && slices.Contains(fullOnly, g.ids[0]):
			continue
		}
		measured++
		e.measureGroup(ctx, g)
	}
	return measured
}

// measureGroup runs a group, and again while it is void.
func (e *env) measureGroup(ctx context.Context, g group) {
	fmt.Fprintf(os.Stderr, "-- %s\n", strings.Join(g.ids, ", "))
	began := time.Now()
	before := len(e.table.Rows)
	for try := range tries {
		e.table.Rows = e.table.Rows[:before]
		if err := g.run(ctx, e); err != nil {
			e.table.Rows = e.table.Rows[:before]
			for _, id := range g.ids {
				e.table.Void(id, err)
			}
		}
		void := (&rows.Table{Rows: e.table.Rows[before:]}).AnyVoid()
		if !void || ctx.Err() != nil || try == tries-1 {
			break
		}
		fmt.Fprintln(os.Stderr, "   void; measured again")
	}
	fmt.Fprintf(os.Stderr, "   took %v\n", time.Since(began).Round(time.Second))
}

func defaultTraces() string {
	if dir := os.Getenv("GANNET_TRACES"); dir != "" {
		return dir
	}
	return "../shared/traces"
}
