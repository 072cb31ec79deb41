package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"

	"gannet/client"
	"gannet/test/rows"
)

// bench is the lab with its servers running.
type bench struct {
	net     *network
	serving *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Scanner
}

func newBench() (_ *bench, err error) {
	b := &bench{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.net, err = newNetwork(); err != nil {
		return nil, err
	}
	b.serving = exec.Command("/proc/self/exe", "-role", "serve")
	b.serving.Stderr = os.Stderr
	if b.orders, err = b.serving.StdinPipe(); err != nil {
		return nil, err
	}
	answers, err := b.serving.StdoutPipe()
	if err != nil {
		return nil, err
	}
	b.answers = bufio.NewScanner(answers)
	if err := b.net.servers.start(b.serving); err != nil {
		return nil, fmt.Errorf("incast: start the servers: %w", err)
	}
	return b, b.heard()
}

// heard waits for the servers' word.
func (b *bench) heard() error {
	if !b.answers.Scan() {
		return errors.New("incast: the servers ended")
	}
	return nil
}

// order tells the servers something.
func (b *bench) order(word string) error {
	if _, err := fmt.Fprintln(b.orders, word); err != nil {
		return fmt.Errorf("incast: %w", err)
	}
	return b.heard()
}

func (b *bench) close() error {
	var errs []error
	if b.orders != nil {
		errs = append(errs, b.orders.Close())
	}
	if b.serving != nil && b.serving.Process != nil {
		errs = append(errs, b.serving.Wait())
	}
	if b.net != nil {
		errs = append(errs, b.net.close())
	}
	return errors.Join(errs...)
}

// begin starts a client; the function returned waits for what it did.
func (b *bench) begin(at space, j job) (finish func(warm func() error) (*done, error), err error) {
	role, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe", "-role", string(role))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := at.start(cmd); err != nil {
		return nil, fmt.Errorf("incast: start a client: %w", err)
	}
	return func(warm func() error) (*done, error) {
		d := &done{}
		decodeErr := d.read(out, warm)
		if err := errors.Join(cmd.Wait(), decodeErr); err != nil {
			return nil, fmt.Errorf("incast: client %s: %w", j.Role, err)
		}
		return d, nil
	}, nil
}

// read takes in what a client says, and calls warm when its clock starts.
func (d *done) read(out io.Reader, warm func() error) error {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if lines.Text() != warmWord {
			return json.Unmarshal(lines.Bytes(), d)
		}
		if warm != nil {
			if err := warm(); err != nil {
				return err
			}
		}
	}
	return errors.Join(lines.Err(), io.ErrUnexpectedEOF)
}

func (b *bench) do(at space, j job) (*done, error) {
	finish, err := b.begin(at, j)
	if err != nil {
		return nil, err
	}
	return finish(nil)
}

// figures are those of one way, over all rounds.
type figures struct {
	Calls     []int64 // nanoseconds of each multi-get
	neighbors []int64
	through   counted
	values    int64
	wrong     int64
	lasted    int64
	resent    uint64
	problem   string
}

const (
	neighborEvery = 4 * time.Millisecond
	warmCalls     = 8
)

// round runs one way for a while, with the neighbour beside it.
func (b *bench) round(f *figures, mode client.IncastMode, lasts time.Duration) error {
	neighbor, err := b.begin(b.net.neighbor, job{Role: "small", Lasts: lasts, Every: neighborEvery})
	if err != nil {
		return err
	}
	finish, err := b.begin(b.net.client, job{Role: "multi", Mode: mode, LinkBits: bottleneckBits, Lasts: lasts, Warm: warmCalls})
	if err != nil {
		return err
	}
	var before counted
	d, err := finish(func() (err error) {
		before, err = b.net.count()
		return err
	})
	if err != nil {
		return err
	}
	after, err := b.net.count()
	if err != nil {
		return err
	}
	n, err := neighbor(nil)
	if err != nil {
		return err
	}
	went := after.minus(before)
	f.through = counted{f.through.packets + went.packets, f.through.dropped + went.dropped, f.through.bytes + went.bytes}
	f.Calls, f.neighbors = append(f.Calls, d.Nanos...), append(f.neighbors, n.Nanos...)
	f.values, f.wrong, f.lasted, f.resent = f.values+d.Values, f.wrong+d.Wrong+n.Wrong, f.lasted+d.Lasted, f.resent+d.Resent
	if d.Problem != "" {
		f.problem = d.Problem
	}
	return nil
}

const (
	// A value of 4 KB comes in four datagrams of 1,024 bytes with 64 + 48 bytes of
	// headers of ours, 28 of UDP and IP, 14 of Ethernet and framing.
	datagramBytes = 1024 + 64 + 48 + 28 + 14 + framingBytes
	multiBytes    = multiKeys * valueBytes / 1024 * datagramBytes
)

// idealNanos is what one multi-get takes on the wire.
const idealNanos = float64(multiBytes) * 8 / bottleneckBits * 1e9

// goodput is the share of the bottleneck that useful bytes took: those of values that
// arrived, each once, with their headers.
func (f *figures) goodput() float64 {
	useful := float64(f.values-f.wrong) / multiKeys * idealNanos
	return useful / max(1, float64(f.lasted))
}

func quantile(v []int64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return float64(v[min(len(v)-1, int(q*float64(len(v))))])
}

var modeNames = [...]string{client.IncastGrants: "grants", client.IncastWindow: "window", client.IncastNone: "no control"}

func measureLab(t *rows.Table, full bool) error {
	rounds, lasts := 3, 3*time.Second
	if full {
		rounds, lasts = 10, 10*time.Second
	}
	b, err := newBench()
	if err != nil {
		return err
	}
	err = b.measure(t, rounds, lasts)
	return errors.Join(err, b.close())
}

func (b *bench) measure(t *rows.Table, rounds int, lasts time.Duration) error {
	if _, err := b.do(b.net.client, job{Role: "fill"}); err != nil {
		return err
	}
	var ways [len(modeNames)]figures
	var quiet []int64
	for range rounds {
		d, err := b.do(b.net.neighbor, job{Role: "small", Lasts: lasts, Every: neighborEvery})
		if err != nil {
			return err
		}
		quiet = append(quiet, d.Nanos...)
		for mode := range ways {
			if err := b.round(&ways[mode], client.IncastMode(mode), lasts); err != nil {
				return err
			}
		}
	}
	for mode := range ways {
		report(os.Stderr, modeNames[mode], &ways[mode], quiet)
	}
	if err := loaded(&ways); err != nil {
		return err
	}
	judge(t, &ways, quiet)
	return b.measureLiar(t)
}

// loaded says whether the load was there: without any control the buffer must
// overrun, else there was no incast to hold back.
func loaded(ways *[len(modeNames)]figures) error {
	none := &ways[client.IncastNone]
	switch {
	case none.through.lost() < 0.01:
		return fmt.Errorf("no control lost %.2f %%: the buffer was not overrun", 100*none.through.lost())
	case len(ways[client.IncastGrants].Calls) < 50:
		return fmt.Errorf("only %d multi-gets with grants", len(ways[client.IncastGrants].Calls))
	case ways[client.IncastGrants].wrong > 0:
		return fmt.Errorf("%d values were wrong or missing: %s", ways[client.IncastGrants].wrong, ways[client.IncastGrants].problem)
	}
	return nil
}

func judge(t *rows.Table, ways *[len(modeNames)]figures, quiet []int64) {
	g, w, none := &ways[client.IncastGrants], &ways[client.IncastWindow], &ways[client.IncastNone]
	n := int64(len(g.Calls))
	t.AtMost("incast_loss", g.through.lost(), 0.001, int64(g.through.packets), "of datagrams",
		fmt.Sprintf("grants; window %.4f, no control %.4f", w.through.lost(), none.through.lost()))
	t.AtLeast("incast_goodput", g.goodput(), 0.95, n, "of the bottleneck",
		fmt.Sprintf("grants, bytes on the wire; window %.3f, no control %.3f", w.goodput(), none.goodput()))
	t.AtLeast("incast_goodput", g.goodput()/max(w.goodput(), 1e-9), 1, n, "× the window's", "")
	t.AtMost("incast_p99", quantile(g.Calls, 0.99)/idealNanos, 1.2, n, "× bytes ÷ rate",
		fmt.Sprintf("grants; window %.2f, no control %.2f; bytes ÷ rate is %.2f ms", quantile(w.Calls, 0.99)/idealNanos,
			quantile(none.Calls, 0.99)/idealNanos, idealNanos/1e6))
	alone := quantile(quiet, 0.99) / 1e6
	t.AtMost("incast_neighbour_ms", quantile(g.neighbors, 0.99)/1e6, alone+1, int64(len(g.neighbors)), "ms",
		fmt.Sprintf("p99 of small GETs beside grants; unloaded %.2f, window %.2f, no control %.2f", alone,
			quantile(w.neighbors, 0.99)/1e6, quantile(none.neighbors, 0.99)/1e6))
}

func report(out io.Writer, name string, f *figures, quiet []int64) {
	fmt.Fprintf(out, "%-10s %4d calls, p50 %.3f p99 %.3f of ideal, goodput %.4f, lost %.5f, resent %d, wrong %d; neighbour p50 %.2f p99 %.2f ms (unloaded %.2f %.2f) %s\n",
		name, len(f.Calls), quantile(f.Calls, 0.5)/idealNanos, quantile(f.Calls, 0.99)/idealNanos, f.goodput(), f.through.lost(), f.resent, f.wrong,
		quantile(f.neighbors, 0.5)/1e6, quantile(f.neighbors, 0.99)/1e6, quantile(quiet, 0.5)/1e6, quantile(quiet, 0.99)/1e6, f.problem)
}
