// Command demo replays a cache trace against a real node over a veth pair: the
// node on native XDP (or kernel sockets) in one network namespace, the replay in
// another. The node's memory holds about a tenth of the trace's keys, so that it
// has to choose what to keep. Everything it makes is removed again.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"gannet/config"
	"gannet/loadgen/trace"
	"gannet/test/lab"
)

type options struct {
	trace, datapath, out, bin string
	shards                    int
	replay                    []string // flags handed on to gannet replay
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, parse()); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func parse() options {
	var o options
	flag.StringVar(&o.trace, "trace", "", "trace file; empty: a synthetic Zipf stream, which it says")
	flag.StringVar(&o.datapath, "datapath", "xdp", "xdp or udp")
	flag.StringVar(&o.out, "out", "out/demo-xdp.json", "where the replay's JSON goes")
	flag.StringVar(&o.bin, "bin", "bin", "folder with the built binaries")
	flag.IntVar(&o.shards, "shards", 1, "shards, and queues of the veth pair")
	flag.Parse()
	o.replay = flag.Args()
	return o
}

func run(ctx context.Context, o options) (err error) {
	plan, err := planFor(o)
	if err != nil {
		return err
	}
	network, err := lab.New(lab.Config{Queues: o.shards})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.Close()) }()

	node, err := network.StartNode(ctx, lab.NodeConfig{Bin: o.bin, Datapath: o.datapath, Shards: o.shards, Memory: plan.memory, Flags: plan.node})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Stop()) }()
	fmt.Fprintf(os.Stderr, "node in its namespace: datapath %s, memory %.1f MiB for about %d of %d keys\n",
		o.datapath, float64(plan.memory)/(1<<20), plan.unique/10, plan.unique)

	report, err := network.Run(ctx, os.Stderr, filepath.Join(o.bin, "gannet"), plan.replay...)
	if len(report) > 0 {
		err = errors.Join(err, save(o.out, report))
	}
	if err != nil {
		return err
	}
	return judge(report, o.datapath)
}

func save(path string, report []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, report, 0o644); err != nil {
		return err
	}
	_, err := os.Stdout.Write(report)
	return err
}

// judge fails the demonstration when the replay did not show what it should.
func judge(report []byte, datapath string) error {
	var r struct {
		Requests, Errors, Corrupt, Evictions int64
		Datapath                             string
	}
	if err := json.Unmarshal(report, &r); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	want := map[string]string{"xdp": "xdp-copy", "udp": "udp"}[datapath]
	switch {
	case r.Requests == 0:
		return errors.New("no request was made")
	case r.Errors != 0 || r.Corrupt != 0:
		return fmt.Errorf("%d errors, %d corrupt values", r.Errors, r.Corrupt)
	case r.Evictions == 0:
		return errors.New("nothing was evicted: the memory was too large to show anything")
	case want != "" && r.Datapath != want:
		return fmt.Errorf("the node took datapath %q, not %q", r.Datapath, want)
	}
	return nil
}

type plan struct {
	unique, memory int64
	node, replay   []string
}

const (
	synthetic     = "zipf:0.99,keys=100000,value=1000"
	syntheticKeys = 100_000
	syntheticRun  = "400000"

	leastMemory  = 16 << 20 // below, whole slabs are too coarse a measure
	mostMemory   = 8 << 30
	maxValue     = 1 << 20 // larger values are never stored
	overheadItem = 48      // header, sums, index and rounding of an item, bytes
)

// planFor sizes the node for a tenth of the keys. Traces without sizes get values
// large enough for that tenth to fill a few slabs.
func planFor(o options) (plan, error) {
	common := []string{"--server=" + lab.ServerAddr + ":9800", "-o", "json"}
	if o.trace == "" {
		p := plan{unique: syntheticKeys, memory: syntheticKeys / 10 * (1000 + 16 + overheadItem)}
		p.memory = max(p.memory, leastMemory)
		p.replay = append([]string{"replay", "--synthetic=" + synthetic, "--limit=" + syntheticRun}, common...)
		p.replay = append(p.replay, o.replay...)
		return p, nil
	}
	shape, err := measure(o.trace, flagValue(o.replay, "format"))
	if err != nil {
		return plan{}, err
	}
	p := plan{unique: shape.unique}
	p.replay = append([]string{"replay", o.trace}, common...)
	p.replay = append(p.replay, o.replay...)
	valueBytes := int64(1000)
	if !hasFlag(o.replay, "value-size") {
		if shape.sized == 0 {
			valueBytes = min(max(valueBytes, leastMemory*10/shape.unique), 64<<10)
			p.replay = append(p.replay, fmt.Sprintf("--value-size=%d", valueBytes))
		}
	} else {
		size, err := config.ParseSize(flagValue(o.replay, "value-size"))
		if err != nil {
			return plan{}, fmt.Errorf("--value-size: %w", err)
		}
		valueBytes = int64(size)
	}
	total := shape.bytes + (shape.unique-shape.sized)*valueBytes + shape.unique*overheadItem
	if hasFlag(o.replay, "value-size") {
		total = shape.keyBytes + shape.unique*(valueBytes+overheadItem)
	}
	p.memory = min(max(total/10, leastMemory), mostMemory)
	p.node = []string{"--max-value=1MiB"}
	return p, nil
}

// shape is what the keys of a trace would take, each at its first size.
type shape struct{ unique, sized, bytes, keyBytes int64 }

func measure(path, format string) (shape, error) {
	r, err := trace.Open(path, format)
	if err != nil {
		return shape{}, err
	}
	defer r.Close()
	var s shape
	seen := map[string]bool{}
	for {
		var req trace.Request
		if err := r.Next(&req); errors.Is(err, io.EOF) {
			return s, nil
		} else if err != nil {
			return s, err
		}
		if seen[string(req.Key)] {
			continue
		}
		seen[string(req.Key)] = true
		s.unique++
		s.keyBytes += int64(len(req.Key))
		s.bytes += int64(len(req.Key))
		if req.ValueBytes >= 0 {
			s.sized++
		}
		if req.ValueBytes <= maxValue {
			s.bytes += int64(max(req.ValueBytes, 0))
		}
	}
}

func hasFlag(args []string, name string) bool {
	return slices.ContainsFunc(args, func(a string) bool {
		return a == "--"+name || strings.HasPrefix(a, "--"+name+"=")
	})
}

func flagValue(args []string, name string) string {
	for i, a := range args {
		if v, ok := strings.CutPrefix(a, "--"+name+"="); ok {
			return v
		}
		if a == "--"+name && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}
