package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"gannet/config"
	"gannet/loadgen"
	"gannet/loadgen/synthetic"
	"gannet/loadgen/trace"
)

type replayCmd struct {
	Trace     string `arg:"" optional:"" help:"Trace file, as it was published, compressed or not."`
	Format    string `placeholder:"NAME" help:"Format of the trace: ${formats}. A trace without a header needs it."`
	Synthetic string `placeholder:"SPEC" help:"Instead of a trace, requests made from published statistics (twitter:cluster52) or a Zipf law (zipf:0.99,keys=1000000,value=100)."`
	Seed      uint64 `default:"1" placeholder:"N" help:"Seed of --synthetic: the same one makes the same requests."`

	Server      string       `short:"s" group:"network" placeholder:"HOST:PORT" help:"Node to replay against (GANNET_SERVER; default: 127.0.0.1:9800)."`
	Connections int          `group:"network" default:"8" placeholder:"N" help:"Requests in flight; with 1 the node meets them in the trace's order."`
	Timeout     durationFlag `group:"network" default:"5s" help:"How long to try each operation; longer than a node's restart rides over one."`
	TTL         ttlFlag      `name:"ttl" group:"network" placeholder:"TIME" help:"TTL of items for which the trace has none."`

	InProcess     bool     `group:"in-process" help:"Drive one shard in this process instead of a node: for miss ratios."`
	Policy        string   `group:"in-process" placeholder:"NAME" help:"Eviction policy."`
	CapacityItems int      `group:"in-process" placeholder:"N" help:"Hold so many items, whatever their size."`
	Memory        sizeFlag `group:"in-process" placeholder:"SIZE" help:"Hold what fits into so much memory, e.g. 64MiB."`

	Limit     int64        `placeholder:"N" help:"End after so many GETs; --synthetic, which never ends, does after 1000000."`
	ValueSize sizeFlag     `placeholder:"SIZE" help:"Size of every value, whatever the trace says, e.g. 1KiB."`
	Output    outputFormat `short:"o" default:"text" help:"text or json; the progress goes to stderr."`
}

// Help is the text below the flags' summary.
func (replayCmd) Help() string {
	return `Look-aside: each request of the trace is a GET; on a miss the value is PUT, with the trace's size and TTL.
Values are made from key and size, and every hit is compared byte by byte. Writes and deletes that the
trace has are done as such. Exits with 2 if a value was corrupt, with 1 if requests failed.

Examples:
  gannet replay OLTP.lis.zst --format arc
  gannet replay cluster52.csv.zst --format twitter --connections 1 -o json
  gannet replay --synthetic twitter:cluster52 --limit 1000000
  gannet replay P3.lis.zst --format arc --in-process --policy lru --capacity-items 10000`
}

// sizeFlag is a number of bytes, with a unit.
type sizeFlag config.Size

// UnmarshalText reads a flag.
func (s *sizeFlag) UnmarshalText(text []byte) error {
	size, err := config.ParseSize(string(text))
	if err == nil && size == 0 {
		err = errors.New("is zero; write e.g. 1KiB")
	}
	if err != nil {
		return fmt.Errorf("%q %w", text, err)
	}
	*s = sizeFlag(size)
	return nil
}

// syntheticGets ends a synthetic replay without --limit.
const syntheticGets = 1_000_000

// Run replays a trace.
func (c *replayCmd) Run(env *Env) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Synthetic != "" && c.Limit == 0 {
		c.Limit = syntheticGets
	}
	input, err := c.open()
	if err != nil {
		return err
	}
	defer input.close()
	if c.Synthetic != "" {
		fmt.Fprintf(env.Stderr, "replay: %s\n", input.name)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-env.Signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	display := newProgress(env.Stderr, func(requests int64) float64 { return input.done(requests, c.Limit) })
	report, err := c.replay(ctx, env, input, display.show)
	display.finish()
	if err != nil {
		return err
	}
	return errors.Join(c.print(env, report), judge(report))
}

func (c *replayCmd) check() error {
	switch {
	case c.Synthetic != "" && c.Trace != "":
		return errors.New("a trace and --synthetic are given; use one of them")
	case !c.InProcess && (c.Policy != "" || c.CapacityItems != 0 || c.Memory != 0):
		return errors.New("--policy, --capacity-items and --memory need --in-process; a node has its own in its configuration")
	case c.InProcess && c.Server != "":
		return errors.New("--server and --in-process exclude each other; leave one of them out")
	case c.InProcess && (c.CapacityItems == 0) == (c.Memory == 0):
		return errors.New("--in-process needs --capacity-items N or --memory SIZE, one of the two")
	case c.CapacityItems < 0 || c.Limit < 0:
		return errors.New("--capacity-items and --limit must not be negative")
	case c.ValueSize > maxValueBytes:
		return fmt.Errorf("--value-size %s is more than the %s that a node can store", config.Size(c.ValueSize), config.Size(maxValueBytes))
	}
	return nil
}

func (c *replayCmd) replay(ctx context.Context, env *Env, input *replayInput, show func(loadgen.Progress)) (*loadgen.ReplayReport, error) {
	if c.InProcess {
		return loadgen.ReplayInProcess(ctx, loadgen.InProcessOptions{
			Source: input.source, Trace: input.name, Format: input.format, Policy: c.Policy, Limit: c.Limit,
			CapacityItems: c.CapacityItems, MemoryBytes: int64(c.Memory), ValueBytes: int(c.ValueSize), Progress: show,
		})
	}
	server := target{Server: c.Server}
	return loadgen.Replay(ctx, loadgen.ReplayOptions{
		Source: input.source, Trace: input.name, Format: input.format, Server: server.server(env),
		Connections: c.Connections, Limit: c.Limit, ValueBytes: int(c.ValueSize),
		TTLSeconds: uint32((time.Duration(c.TTL) + time.Second - 1) / time.Second),
		OpTimeout:  time.Duration(c.Timeout), Progress: show,
	})
}

// replayInput is an open trace, which knows how much of it has been read.
type replayInput struct {
	source       trace.Source
	name, format string
	close        func()

	read  atomic.Int64 // bytes of the file
	bytes int64        // 0: no end is known
}

// Read counts what the trace's reader takes.
type countedFile struct {
	*os.File
	read *atomic.Int64
}

func (f countedFile) Read(b []byte) (int, error) {
	n, err := f.File.Read(b)
	f.read.Add(int64(n))
	return n, err
}

func (c *replayCmd) open() (*replayInput, error) {
	switch {
	case c.Synthetic != "":
		return c.generate()
	case c.Trace == "":
		return nil, errors.New("no trace given; name a file, or use --synthetic")
	}
	file, err := os.Open(c.Trace)
	if err != nil {
		return nil, fmt.Errorf("open the trace: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the trace: %w", err), file.Close())
	}
	input := &replayInput{name: c.Trace, format: c.Format, bytes: info.Size()}
	reader, err := trace.NewReader(countedFile{file, &input.read}, c.Format)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("trace %s: %w", c.Trace, err), file.Close())
	}
	input.source = reader
	input.close = func() { _ = errors.Join(reader.Close(), file.Close()) } // only read from
	return input, nil
}

func (c *replayCmd) generate() (*replayInput, error) {
	generator, err := synthetic.Open(c.Synthetic, c.Seed)
	if err != nil {
		return nil, fmt.Errorf("--synthetic: %w", err)
	}
	return &replayInput{source: generator, name: generator.Describe(), format: "synthetic", close: func() {}}, nil
}

// done is the share of the work that is done, 0 to 1.
func (r *replayInput) done(requests, limit int64) float64 {
	share := 0.0
	if limit > 0 {
		share = float64(requests) / float64(limit)
	}
	if r.bytes > 0 {
		share = max(share, float64(r.read.Load())/float64(r.bytes))
	}
	return min(share, 1)
}

func (c *replayCmd) print(env *Env, r *loadgen.ReplayReport) error {
	if c.Output == outputJSON {
		return writeJSON(env, r)
	}
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("trace", "%s", r.Trace)
	line("requests", "%d (%d hits, %d misses, %d errors, %d corrupt)", r.Requests, r.Hits, r.Misses, r.Errors, r.Corrupt)
	line("miss ratio", "%.4f", r.MissRatio)
	line("evictions", "%d (policy %s)", r.Evictions, r.Policy)
	line("rate", "%.0f requests/s over %.1f s (datapath %s)", r.QPS, r.Seconds, r.Datapath)
	if !c.InProcess {
		l := r.LatencyUS
		line("latency", "p50 %.0f µs, p90 %.0f, p99 %.0f, p99.9 %.0f, max %.0f", l.P50, l.P90, l.P99, l.P999, l.Max)
	}
	_, err := io.WriteString(env.Stdout, b.String())
	return err
}

// judge makes an exit code of a report.
func judge(r *loadgen.ReplayReport) error {
	switch {
	case r.Corrupt > 0:
		return fmt.Errorf("%d of %d hits had other bytes than were stored", r.Corrupt, r.Hits)
	case r.Errors > 0:
		return &unmetError{fmt.Errorf("%d of %d requests failed; the first: %s", r.Errors, r.Requests, r.FirstError)}
	}
	return nil
}
