package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"gannet/client/clienttest"
	"gannet/wire"
)

func gannetOptions(node *clienttest.Server) Options {
	return Options{
		Server: netip.MustParseAddrPort(node.Addr()), Keys: 200, InFlight: 16, Preload: true, WriteRatio: 0.1,
		Duration: 150 * time.Millisecond, Timeout: 5 * time.Second, Seed: 1,
	}
}

// run runs, and checks what is true of every run.
func run(t *testing.T, o Options) *Result {
	t.Helper()
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	check(t, r)
	return r
}

func check(t *testing.T, r *Result) {
	t.Helper()
	if r.Requests != r.Replies+r.Lost {
		t.Errorf("%d requests, %d answered, %d lost", r.Requests, r.Replies, r.Lost)
	}
	wrong := r.Corrupt
	for _, n := range r.Errors {
		wrong += n
	}
	if r.Hits+r.Misses+r.Stored+wrong < r.Keys {
		t.Errorf("%d operations, but %d hits, %d misses, %d stored, %d wrong", r.Keys, r.Hits, r.Misses, r.Stored, wrong)
	}
}

func TestGannet(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{Shards: 3})
	long, err := ParseSizes("list:0:10,100:60,4000:20,70000:10")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"closed":           func(*Options) {},
		"open":             func(o *Options) { o.Open, o.Rate = true, 4000 },
		"uniform gaps":     func(o *Options) { o.Open, o.Rate, o.Arrivals = true, 4000, Uniform },
		"many keys":        func(o *Options) { o.KeysPerRequest = 16 },
		"Zipf":             func(o *Options) { o.ZipfS, o.KeyBytes = 1.2, 30 },
		"threads":          func(o *Options) { o.Threads, o.Connections = 2, 3 },
		"long values":      func(o *Options) { o.ValueSize, o.InFlight = long, 4 },
		"padded":           func(o *Options) { o.PadToReply, o.ValueSize = true, Fixed(300) },
		"only writes":      func(o *Options) { o.WriteRatio, o.TTLSeconds = 1, 60 },
		"not verified":     func(o *Options) { o.SkipVerify = true },
		"spinning, pinned": func(o *Options) { o.Spin, o.CPUs = true, []int{0} },
	} {
		t.Run(name, func(t *testing.T) {
			o := gannetOptions(node)
			change(&o)
			r := run(t, o)
			if r.Lost != 0 || r.Misses != 0 || r.Corrupt != 0 || len(r.Errors) != 0 || r.Stored == 0 || o.WriteRatio < 1 && r.Hits == 0 {
				t.Errorf("%+v", r)
			}
			if r.Utilisation <= 0 || r.Threads[0].NanosPerKey <= 0 || r.LatencyUS.P50 <= 0 || r.Rate <= 0 {
				t.Errorf("utilisation %g, %+v, %+v", r.Utilisation, r.Threads, r.LatencyUS)
			}
		})
	}
}

// TestFilesOutcomes: each kind of answer is counted as what it is.
func TestFilesOutcomes(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{})
	o := gannetOptions(node)
	o.WriteRatio = 0
	if err := Preload(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	wrong := string(keyText{16}.append(nil, 7))
	node.Set(wrong, []byte("something else"))
	node.Answer(wire.Get, wire.StatusTooLate, 20)
	node.Answer(wire.Get, wire.StatusUnavailable, 5)
	o.Preload, o.Keys = false, 400 // half of them were never stored
	r := run(t, o)
	if r.Errors["TOO_LATE"] != 19 || // the probe got one
		r.Errors["UNAVAILABLE"] != 5 || r.Misses == 0 || r.Hits == 0 || r.Corrupt == 0 {
		t.Errorf("%+v", r)
	}
	if !r.Void {
		t.Error("a run with corrupt values is void")
	}
}

// TestCookieRunsOut: a node that wants a fresh cookie gets it, and no request is the
// worse for it.
func TestCookieRunsOut(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{})
	o := gannetOptions(node)
	if err := Preload(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	o.Preload = false
	node.Answer(wire.Get, wire.StatusCookieRequired, 3)
	o.Progress = func(p Progress) {
		if p.Phase == PhaseMeasure {
			node.RotateCookies()
		}
	}
	r := run(t, o)
	if r.Lost != 0 || len(r.Errors) != 0 || r.Misses != 0 {
		t.Errorf("%+v", r)
	}
}

// TestLossFreesThePlace: a closed loop goes on after losses.
func TestLossFreesThePlace(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{})
	o := gannetOptions(node)
	if err := Preload(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	var drop atomic.Int64
	drop.Store(40)
	node.SetFaults(clienttest.Faults{Repeat: 0.3, Request: func(r *wire.Request) bool {
		return r.Cookie == 0 || r.RequestID == probeID || drop.Add(-1) < 0
	}})
	o.Preload, o.Timeout, o.InFlight, o.Duration = false, 20*time.Millisecond, 8, time.Second
	r := run(t, o)
	if r.Lost < 40 || r.Hits < 100 || r.Corrupt != 0 {
		t.Errorf("%d lost, %d hits: %+v", r.Lost, r.Hits, r)
	}
}

func TestLate(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{})
	o := gannetOptions(node)
	if err := Preload(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	node.SetFaults(clienttest.Faults{Delay: func([]byte) time.Duration { return 20 * time.Millisecond }})
	o.Preload, o.Budget = false, 10*time.Millisecond
	if r := run(t, o); r.Late == 0 || r.Late != r.Replies {
		t.Errorf("every reply takes 20ms, the budget is 10ms: %d late of %d", r.Late, r.Replies)
	}
}

// stalling is an echo that falls silent once, and then answers everything.
type stalling struct {
	conn *net.UDPConn
	once sync.Once
}

func newStalling(t *testing.T, after int, stall time.Duration) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadBuffer(8 << 20)
	t.Cleanup(func() { _ = conn.Close() })
	s := &stalling{conn: conn}
	go func() {
		buf := make([]byte, 2048)
		for count := 0; ; count++ {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if count == after {
				s.once.Do(func() { time.Sleep(stall) })
			}
			_, _ = conn.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// over counts the recorded latencies above a bound.
func over(r *Result, bound time.Duration) (count int64) {
	for _, bar := range r.Latency.Distribution() {
		if bar.From > int64(bound) {
			count += bar.Count
		}
	}
	return count
}

// TestNoCoordinatedOmission: a server that is silent for 300 ms makes every request
// of that time wait, and all of them must show. A closed loop, by its nature, shows
// as many as it had in flight.
func TestNoCoordinatedOmission(t *testing.T) {
	const stall = 300 * time.Millisecond
	o := Options{
		Protocol: Echo, Open: true, Rate: 2000, Arrivals: Uniform, Duration: 700 * time.Millisecond, Timeout: 5 * time.Second,
		ValueSize: Fixed(64),
	}
	o.Server = newStalling(t, 200, stall)
	r := run(t, o)
	// Of 600 requests in the stall those of its first 200 ms wait for over 100 ms.
	if n := over(r, 100*time.Millisecond); n < 380 {
		t.Errorf("open loop: %d latencies over 100 ms, want 400 or more: %+v", n, r.LatencyUS)
	}
	if r.Lost != 0 || r.Unsent != 0 {
		t.Errorf("%d lost, %d unsent", r.Lost, r.Unsent)
	}
	o.Open, o.InFlight, o.Server = false, 1, newStalling(t, 200, stall)
	if n := over(run(t, o), 250*time.Millisecond); n > 3 {
		t.Errorf("closed loop of one: %d latencies over 250 ms, want the one of the stall", n)
	}
}

// lateSender is a transport that once takes its time.
type lateSender struct {
	transport
	flushes int
}

func (l *lateSender) flush() error {
	if l.flushes++; l.flushes == 100 {
		time.Sleep(200 * time.Millisecond)
	}
	return l.transport.flush()
}

// TestLateSenderShows: it is no better when the generator itself is what stalls.
func TestLateSenderShows(t *testing.T) {
	s, err := open(context.Background(), Options{
		Protocol: Echo, Open: true, Rate: 2000, Arrivals: Uniform, Duration: 600 * time.Millisecond, Timeout: 5 * time.Second,
		ValueSize: Fixed(64), Server: newStalling(t, -1, 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	s.workers[0].transport = &lateSender{transport: s.workers[0].transport}
	r, err := s.offer(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if n := over(r, 100*time.Millisecond); n < 180 {
		t.Errorf("%d latencies over 100 ms, want 200 or more: %+v", n, r.LatencyUS)
	}
}

func TestResultIsWritten(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{})
	var mu sync.Mutex
	var phases []Phase
	o := gannetOptions(node)
	o.WarmUp = 30 * time.Millisecond
	o.Progress = func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		if n := len(phases); n == 0 || phases[n-1] != p.Phase {
			phases = append(phases, p.Phase)
		}
	}
	r := run(t, o)
	want := []Phase{PhasePreload, PhaseWarmUp, PhaseMeasure, PhaseDrain, PhaseDone}
	if len(phases) != len(want) || strings.Join(strs(phases), " ") != strings.Join(strs(want), " ") {
		t.Errorf("phases %v, want %v", phases, want)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Result
	if err := json.Unmarshal(text, &back); err != nil || back.Replies != r.Replies || back.LatencyUS != r.LatencyUS {
		t.Errorf("%v: %s", err, text)
	}
	if h, err := hdrhistogram.Decode([]byte(back.HDR)); err != nil || h.TotalCount() != r.Latency.TotalCount() || h.ValueAtQuantile(99) != r.Latency.ValueAtQuantile(99) {
		t.Errorf("the histogram does not come back: %v", err)
	}
	var hgrm bytes.Buffer
	if err := r.WriteHGRM(&hgrm); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(hgrm.String()), "\n")
	if !strings.Contains(lines[0], "1/(1-Percentile)") || !strings.HasPrefix(lines[len(lines)-1], "#[Buckets") || len(lines) < 20 {
		t.Errorf("hgrm:\n%s", hgrm.String())
	}
}

func strs(phases []Phase) (out []string) {
	for _, p := range phases {
		out = append(out, string(p))
	}
	return out
}

func TestRefusesNonsense(t *testing.T) {
	good := Options{Server: netip.MustParseAddrPort("127.0.0.1:1"), Keys: 1, InFlight: 1, Duration: time.Second}
	for name, change := range map[string]func(*Options){
		"protocol":    func(o *Options) { o.Protocol = "smtp" },
		"server":      func(o *Options) { o.Server = netip.AddrPort{} },
		"datapath":    func(o *Options) { o.Datapath = "dpdk" },
		"interface":   func(o *Options) { o.Datapath = XDP },
		"tcp by xdp":  func(o *Options) { o.Datapath, o.Interface, o.Protocol = XDP, "lo", Redis },
		"queues":      func(o *Options) { o.Datapath, o.Interface, o.Threads, o.InFlight, o.Queues = XDP, "lo", 2, 2, []int{1} },
		"rate":        func(o *Options) { o.Open = true },
		"arrivals":    func(o *Options) { o.Open, o.Rate, o.Arrivals = true, 1, "pareto" },
		"in flight":   func(o *Options) { o.InFlight = 0 },
		"duration":    func(o *Options) { o.Duration = 0 },
		"timeout":     func(o *Options) { o.Timeout = -1 },
		"writes":      func(o *Options) { o.WriteRatio = 1.1 },
		"keys":        func(o *Options) { o.Keys = 0 },
		"key bytes":   func(o *Options) { o.KeyBytes = 8 },
		"pipeline":    func(o *Options) { o.KeysPerRequest = 256 },
		"TTL":         func(o *Options) { o.TTLSeconds = 1 << 31 },
		"padding":     func(o *Options) { o.PadToReply, o.KeysPerRequest = true, 2 },
		"reply bytes": func(o *Options) { o.MaxReplyBytes = 100 },
		"sets":        func(o *Options) { o.Protocol, o.WriteRatio, o.KeysPerRequest = MemcachedUDP, 0.5, 2 },
		"echo":        func(o *Options) { o.Protocol, o.ValueSize = Echo, Fixed(8) },
		"threads":     func(o *Options) { o.Threads = 1000 },
		"connections": func(o *Options) { o.Connections = -1 },
		"too few":     func(o *Options) { o.Protocol, o.Connections = Redis, 2 },
	} {
		o := good
		change(&o)
		if _, err := Run(context.Background(), o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v, want ErrOptions", name, err)
		}
	}
}

func TestNoServer(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	o := Options{Server: netip.MustParseAddrPort("127.0.0.1:1"), Keys: 1, InFlight: 1, Duration: time.Second}
	if _, err := Run(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("gannet: %v", err)
	}
	o.Protocol = Redis
	if _, err := Run(context.Background(), o); err == nil {
		t.Error("redis: a run without a server must fail")
	}
}

func TestCancelled(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	o := gannetOptions(node)
	o.Duration = time.Hour
	o.Progress = func(p Progress) {
		if p.Phase == PhaseMeasure {
			cancel()
		}
	}
	if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want Canceled", err)
	}
}

func TestClimb(t *testing.T) {
	steps := RateSteps{First: 10, Last: 100, Step: 10}
	for name, c := range map[string]struct {
		limit, own float64
		highest    float64
		count      int
		limited    bool
	}{
		"server's limit":    {limit: 55, own: 1000, highest: 50, count: 7},
		"generator's limit": {limit: 1000, own: 45, highest: 40, count: 5, limited: true},
		"no limit":          {limit: 1000, own: 1000, highest: 100, count: 10},
		"none":              {limit: 5, own: 1000, highest: 0, count: 2},
	} {
		r, err := climb(steps, func(rate float64) (*Result, error) {
			out := &Result{OfferedRate: rate, Void: rate > c.own}
			if rate > c.limit {
				out.LossShare = 0.2
			}
			return out, nil
		})
		if err != nil || r.Highest != c.highest || len(r.Steps) != c.count || r.Limited != c.limited {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestSweep(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{})
	o := gannetOptions(node)
	o.Duration = 50 * time.Millisecond
	seen := 0
	r, err := Sweep(context.Background(), o, RateSteps{500, 1000, 500}, func(*Result) { seen++ })
	if err != nil || seen != len(r.Steps) || r.Steps[0].OfferedRate != 500 || r.Steps[0].Hits == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := Sweep(context.Background(), o, RateSteps{500, 100, 0}, nil); !errors.Is(err, ErrOptions) {
		t.Errorf("%v, want ErrOptions", err)
	}
}
