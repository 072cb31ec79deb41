package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"gannet/loadgen/bench"
	"gannet/loadgen/synthetic"
)

type benchCmd struct {
	Server    string         `short:"s" group:"network" placeholder:"HOST:PORT" help:"Server to measure (GANNET_SERVER; default: 127.0.0.1:9800)."`
	Protocol  bench.Protocol `short:"P" group:"network" default:"gannet" enum:"gannet,memcached-udp,memcached-tcp,redis,echo" help:"gannet, memcached-udp, memcached-tcp, redis, or echo, for what sends datagrams back (default: gannet)."`
	Datapath  bench.Datapath `group:"network" default:"udp" enum:"udp,xdp" help:"udp: the kernel's sockets; xdp: AF_XDP on --interface, for datagrams only (default: udp)."`
	Interface string         `group:"network" placeholder:"NAME" help:"Interface for --datapath xdp."`
	Queues    []int          `group:"network" placeholder:"N,…" help:"Queue of each thread with xdp (default: 0, 1, …)."`

	QPS       rateFlag       `name:"qps" aliases:"rate-limiting" group:"load" placeholder:"RATE" help:"Open loop: requests a second over all threads, e.g. 50k (default: 10k)."`
	RateSteps stepsFlag      `aliases:"scan" group:"load" placeholder:"FIRST:LAST:STEP" help:"Open loop at one rate after the other, e.g. 10k:200k:10k; finds the highest with a loss below 0.1 %."`
	InFlight  int            `name:"in-flight" aliases:"depth" group:"load" placeholder:"N" help:"Closed loop instead: keep so many requests on their way, over all threads."`
	IADist    bench.Arrivals `name:"iadist" group:"load" default:"poisson" enum:"poisson,uniform" help:"Open loop: law of the gaps between requests, poisson or uniform (default: poisson)."`
	Pipeline  int            `short:"p" aliases:"multi-key-get" group:"load" default:"1" placeholder:"N" help:"Keys a request: operations in a datagram, keys of a multi-get, commands of a pipeline."`
	Clients   int            `short:"c" aliases:"connections" group:"load" default:"1" placeholder:"N" help:"Connections, or source ports, of each thread."`
	Threads   int            `short:"t" group:"load" default:"1" placeholder:"N" help:"Threads."`
	CPUs      []int          `name:"cpus" aliases:"affinity" group:"load" placeholder:"N,…" help:"CPUs that the threads are pinned to, in turn."`
	Spin      bool           `group:"load" help:"Never sleep: for threads with cores of their own."`

	KeyMaximum    int        `aliases:"records" group:"bench-items" default:"100000" placeholder:"N" help:"Number of keys (default: 100000)."`
	KeySize       int        `aliases:"keysize" group:"bench-items" placeholder:"BYTES" help:"Length of keys (default: 16)."`
	DataSize      string     `short:"d" aliases:"valuesize,data-size-range,data-size-list" group:"bench-items" placeholder:"SIZE" help:"Length of values: 100, 100-2000, normal:1000:200, list:64:50,1024:30, or a model (default: 100)."`
	KeyZipfExp    float64    `name:"key-zipf-exp" aliases:"zipf" group:"bench-items" placeholder:"S" help:"Draw keys by a Zipf law with this exponent; 0, the default, all alike."`
	Ratio         *ratioFlag `group:"bench-items" placeholder:"SET:GET" help:"Writes to reads (default: 1:10)."`
	ExpirySeconds uint32     `name:"expiry" group:"bench-items" placeholder:"SECONDS" help:"TTL of what is stored; none without it."`
	Model         string     `group:"bench-items" placeholder:"NAME" help:"Key and value sizes, popularity, ratio and TTL as published: twitter:cluster52, cachelib:kvcache_reg. Flags beside it come first."`

	TestTime durationFlag  `aliases:"time" group:"bench-run" default:"10s" help:"How long to measure (default: 10s)."`
	WarmUp   time.Duration `name:"warmup" group:"bench-run" default:"1s" help:"Load before that is not counted (default: 1s)."`
	Timeout  durationFlag  `group:"bench-run" default:"1s" help:"A datagram without an answer is lost after it (default: 1s)."`
	NoLoad   bool          `name:"noload" group:"bench-run" help:"The keys are there already."`
	LoadOnly bool          `name:"loadonly" group:"bench-run" help:"Store the keys, and measure nothing."`
	Seed     uint64        `group:"bench-run" default:"1" placeholder:"N" help:"The same one draws the same keys."`

	SkipVerify bool   `name:"no-verify" group:"bench-run" help:"Do not compare values with what was stored."`
	PadToReply bool   `group:"bench-run" help:"Make GETs as long as their replies, as the hot keys in the kernel need."`
	JSON       string `name:"json" aliases:"json-out-file" type:"path" group:"bench-run" placeholder:"FILE" help:"Write the result as JSON; - for standard output, instead of the table."`
	HGRM       string `name:"hgrm" type:"path" group:"bench-run" placeholder:"FILE" help:"Write the distribution of latencies for HdrHistogram's plotters."`
}

// Help is the text below the flags' summary.
func (benchCmd) Help() string {
	return `Stores the keys, offers the load, compares every value that comes back, and prints a table of latencies.

Open loop (--qps, the default): each request has its moment on a schedule, and its latency counts from that
moment, whether the generator could send it then or not. Closed loop (--in-flight): finds what a server can
do; its latencies say little.

The generator prints how busy it was itself. Where one of its threads was busy for over 90 % of its time, the
run is void: it measured the generator. So it is when values were corrupt, or the rate could not be offered.
Exit codes: 0 measured, 1 void, 2 error.

Examples:
  gannet bench --qps 50k --data-size 1000 --ratio 0:1
  gannet bench --in-flight 256 --threads 2 --cpus 2,3 --pipeline 16
  gannet bench --rate-steps 10k:200k:10k --test-time 5s --json sweep.json
  gannet bench --datapath xdp --interface eth1 --in-flight 256 --server 10.0.0.7:9800
  gannet bench --protocol redis --server 10.0.0.7:6379 --clients 16 --pipeline 16 --in-flight 16
  gannet bench --model twitter:cluster52 --key-maximum 1000000 --hgrm latency.hgrm`
}

// rateFlag is a number of requests a second, with k or M behind it.
type rateFlag float64

// UnmarshalText reads a flag.
func (r *rateFlag) UnmarshalText(text []byte) error {
	digits, factor := string(text), 1.0
	for suffix, f := range map[string]float64{"k": 1e3, "K": 1e3, "M": 1e6} {
		if rest, ok := strings.CutSuffix(digits, suffix); ok {
			digits, factor = rest, f
		}
	}
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(n*factor >= 1 && n*factor <= 1e9) {
		return fmt.Errorf("%q is no rate; write e.g. 50000, 50k or 1.5M", text)
	}
	*r = rateFlag(n * factor)
	return nil
}

// stepsFlag is a row of rates.
type stepsFlag bench.RateSteps

// UnmarshalText reads a flag.
func (s *stepsFlag) UnmarshalText(text []byte) error {
	var rates [3]rateFlag
	parts := strings.Split(string(text), ":")
	if len(parts) != len(rates) {
		return fmt.Errorf("%q are no rate steps; write FIRST:LAST:STEP, e.g. 10k:200k:10k", text)
	}
	for i := range rates {
		if err := rates[i].UnmarshalText([]byte(parts[i])); err != nil {
			return err
		}
	}
	if rates[1] < rates[0] {
		return fmt.Errorf("%q: the last rate is below the first", text)
	}
	*s = stepsFlag{First: float64(rates[0]), Last: float64(rates[1]), Step: float64(rates[2])}
	return nil
}

// ratioFlag is the share of writes, written SET:GET.
type ratioFlag float64

// UnmarshalText reads a flag.
func (r *ratioFlag) UnmarshalText(text []byte) error {
	set, get, ok := strings.Cut(string(text), ":")
	s, err1 := strconv.ParseFloat(set, 64)
	g, err2 := strconv.ParseFloat(get, 64)
	if !ok || err1 != nil || err2 != nil || !(s >= 0 && g >= 0 && s+g > 0 && s+g < 1e12) {
		return fmt.Errorf("%q is no ratio; write SET:GET, e.g. 1:10", text)
	}
	*r = ratioFlag(s / (s + g))
	return nil
}

const (
	defaultWrites    = 1.0 / 11
	defaultBenchRate = 10_000
)

// Run measures.
func (c *benchCmd) Run(env *Env) error {
	options, err := c.options(env)
	if err != nil {
		return err
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
	display := newBenchProgress(env.Stderr)
	options.Progress = display.show
	defer display.finish()
	switch {
	case c.LoadOnly:
		return bench.Preload(ctx, options)
	case c.RateSteps != stepsFlag{}:
		return c.sweep(ctx, env, options, display)
	}
	result, err := bench.Run(ctx, options)
	display.finish()
	if err != nil {
		return err
	}
	return errors.Join(c.write(env, result, result, func(w io.Writer) error { return printBench(w, result) }), voidError(result))
}

func voidError(r *bench.Result) error {
	if !r.Void {
		return nil
	}
	return &unmetError{fmt.Errorf("this run is void: %s", r.VoidReason)}
}

func (c *benchCmd) sweep(ctx context.Context, env *Env, options bench.Options, display *benchProgress) error {
	result, err := bench.Sweep(ctx, options, bench.RateSteps(c.RateSteps), func(*bench.Result) { display.finish() })
	display.finish()
	if err != nil {
		return err
	}
	last := result.Steps[len(result.Steps)-1]
	err = c.write(env, result, last, func(w io.Writer) error { return printSweep(w, result) })
	if result.Highest == 0 {
		err = errors.Join(err, voidError(last))
	}
	return err
}

// options are the generator's.
func (c *benchCmd) options(env *Env) (o bench.Options, err error) {
	if c.NoLoad && c.LoadOnly {
		return o, errors.New("--noload and --loadonly exclude each other; leave one of them out")
	}
	if c.InFlight > 0 && (c.QPS > 0 || c.RateSteps != stepsFlag{}) {
		return o, errors.New("--in-flight is a closed loop, --qps and --rate-steps are open ones; use one of them")
	}
	if c.QPS > 0 && (c.RateSteps != stepsFlag{}) {
		return o, errors.New("--qps and --rate-steps are given; use one of them")
	}
	o = bench.Options{
		Protocol: c.Protocol, Datapath: c.Datapath, Interface: c.Interface, Queues: c.Queues,
		Open: c.InFlight == 0, Rate: float64(c.QPS), Arrivals: c.IADist, InFlight: c.InFlight,
		Keys: c.KeyMaximum, KeyBytes: c.KeySize, ZipfS: c.KeyZipfExp, WriteRatio: defaultWrites, TTLSeconds: c.ExpirySeconds,
		KeysPerRequest: c.Pipeline, Connections: c.Clients, Threads: c.Threads, CPUs: c.CPUs, Spin: c.Spin,
		Preload: !c.NoLoad, WarmUp: c.WarmUp, Duration: time.Duration(c.TestTime), Timeout: time.Duration(c.Timeout),
		SkipVerify: c.SkipVerify, PadToReply: c.PadToReply, Seed: c.Seed,
	}
	if o.Open && o.Rate == 0 {
		o.Rate = defaultBenchRate
	}
	if o.Server, err = benchServer(&target{Server: c.Server}, env); err != nil {
		return o, err
	}
	if c.Model != "" {
		if err := c.applyModel(&o); err != nil {
			return o, err
		}
	}
	if c.Ratio != nil {
		o.WriteRatio = float64(*c.Ratio)
	}
	if c.DataSize != "" {
		if o.ValueSize, err = bench.ParseSizes(c.DataSize); err != nil {
			return o, fmt.Errorf("--data-size: %w", err)
		}
	}
	return o, nil
}

func benchServer(t *target, env *Env) (netip.AddrPort, error) {
	server := t.server(env)
	addr, err := net.ResolveUDPAddr("udp", server)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("server %s: %w; write HOST:PORT", server, err)
	}
	ap := addr.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

// applyModel sets what the flags leave open.
func (c *benchCmd) applyModel(o *bench.Options) (err error) {
	m, err := synthetic.OpenModel(c.Model)
	if err != nil {
		return fmt.Errorf("--model: %w", err)
	}
	if m.KeyBytes > 0 && c.KeySize == 0 {
		o.KeyBytes = m.KeyBytes
	}
	if c.KeyZipfExp == 0 {
		o.ZipfS, o.Popularity = m.ZipfS, m.Popularity
	}
	o.WriteRatio = m.WriteRatio
	if o.TTLSeconds == 0 {
		o.TTLSeconds = m.TTLSeconds
	}
	o.ValueSize, err = bench.Weighted(m.Source, m.Sizes)
	return err
}

// write writes the files, and the table unless JSON takes its place.
func (c *benchCmd) write(env *Env, value any, histogram *bench.Result, table func(io.Writer) error) error {
	var errs []error
	switch c.JSON {
	case "":
		errs = append(errs, table(env.Stdout))
	case "-":
		errs = append(errs, writeJSON(env, value))
	default:
		errs = append(errs, table(env.Stdout), toFile(c.JSON, func(w io.Writer) error { return json.NewEncoder(w).Encode(value) }))
	}
	if c.HGRM != "" {
		errs = append(errs, toFile(c.HGRM, histogram.WriteHGRM))
	}
	return errors.Join(errs...)
}

func toFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// percentiles of the table.
var benchPercentiles = []float64{0, 50, 75, 90, 95, 99, 99.9, 99.99, 100}

func printBench(out io.Writer, r *bench.Result) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("server", "%s, %s over %s", r.Server, r.Protocol, r.Datapath)
	line("workload", "%s", r.Workload)
	line("requests", "%d sent, %d answered, %d lost, %d not sent in time", r.Requests, r.Replies, r.Lost, r.Unsent)
	line("operations", "%d: %d hits, %d misses, %d stored, %d corrupt%s", r.Keys, r.Hits, r.Misses, r.Stored, r.Corrupt, errorText(r.Errors))
	line("rate", "%.0f requests/s, %.0f operations/s", r.Rate, r.KeyRate)
	line("generator", "%s", generatorText(r))
	b.WriteString("\nlatency (µs)\n")
	for _, p := range benchPercentiles {
		fmt.Fprintf(&b, "  p%-7s %12.1f\n", strconv.FormatFloat(p, 'f', -1, 64), float64(r.Latency.ValueAtQuantile(p))/1000)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func errorText(errors map[string]uint64) string {
	if len(errors) == 0 {
		return ", no errors"
	}
	return fmt.Sprintf(", errors: %v", errors)
}

func generatorText(r *bench.Result) string {
	var threads []string
	for _, t := range r.Threads {
		threads = append(threads, fmt.Sprintf("%.0f %%", 100*t.Utilisation))
	}
	text := fmt.Sprintf("busy %s, %.0f ns of CPU an operation", strings.Join(threads, ", "), r.Threads[0].NanosPerKey)
	if r.StealShare >= 0.01 {
		text += fmt.Sprintf("; the hypervisor took %.0f %% of its time", 100*r.StealShare)
	}
	return text
}

func printSweep(out io.Writer, s *bench.SweepResult) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%10s %10s %8s %10s %10s %10s %6s\n", "offered/s", "answered/s", "loss", "p50 µs", "p99 µs", "p99.9 µs", "busy")
	for _, r := range s.Steps {
		l := r.LatencyUS
		fmt.Fprintf(&b, "%10.0f %10.0f %7.3f%% %10.1f %10.1f %10.1f %5.0f%%", r.OfferedRate, r.Rate, 100*r.LossShare, l.P50, l.P99, l.P999, 100*r.Utilisation)
		if r.Void {
			fmt.Fprintf(&b, "  void: %s", r.VoidReason)
		}
		b.WriteByte('\n')
	}
	limit := ""
	if s.Limited {
		limit = "; the generator reached its own limit before the server's"
	}
	fmt.Fprintf(&b, "\nhighest rate with a loss below 0.1 %%: %.0f requests/s%s\n", s.Highest, limit)
	_, err := io.WriteString(out, b.String())
	return err
}

// benchProgress tells what a run does: over and over in one line on a terminal, else
// a line a phase.
type benchProgress struct {
	out      io.Writer
	terminal bool
	open     bool // the line has not been ended
	last     bench.Progress
}

func newBenchProgress(out io.Writer) *benchProgress {
	return &benchProgress{out: out, terminal: isTerminal(out)}
}

func (p *benchProgress) show(now bench.Progress) {
	before := p.last
	p.last = now
	if !p.terminal {
		if now.Phase != before.Phase && now.Phase != bench.PhaseDone {
			fmt.Fprintf(p.out, "bench: %s\n", now.Phase)
		}
		return
	}
	text := fmt.Sprintf("%d keys stored", now.Stored)
	if now.Phase != bench.PhasePreload {
		rate := 0.0
		if seconds := float64(now.BootNanos-before.BootNanos) / 1e9; seconds > 0 && now.Replies >= before.Replies {
			rate = float64(now.Replies-before.Replies) / seconds
		}
		text = fmt.Sprintf("%.0f requests/s, %d lost, %d errors", rate, now.Lost, now.Errors)
	}
	fmt.Fprintf(p.out, "\r\x1b[K%-8s %3.0f s  %s", now.Phase, now.Elapsed.Seconds(), text)
	p.open = true
}

func (p *benchProgress) finish() {
	if p.open {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.open = false
	}
}
