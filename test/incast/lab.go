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
	"gannet/test/lab/space"
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
	if err := start(b.net.servers, b.serving); err != nil {
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
func (b *bench) begin(at space.Space, j job) (finish func(warm func() error) (*done, error), err error) {
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
	if err := start(at, cmd); err != nil {
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

func (b *bench) do(at space.Space, j job) (*done, error) {
	finish, err := b.begin(at, j)
	if err != nil {
		return nil, err
	}
	return finish(nil)
}

// figures are those of one way in one round.
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
	neighborEarly = 50 * time.Millisecond // it takes some time to start, and must end first
	warmCalls     = 8
)

// run runs one way for a while, with the neighbour beside it from when it is warm.
func (b *bench) run(mode client.IncastMode, lasts time.Duration) (f figures, err error) {
	finish, err := b.begin(b.net.client, job{Role: "multi", Mode: mode, LinkBits: bottleneckBits, Lasts: lasts, Warm: warmCalls})
	if err != nil {
		return f, err
	}
	var before counted
	var neighbor func(func() error) (*done, error)
	d, err := finish(func() (err error) {
		if before, err = b.net.count(); err != nil {
			return err
		}
		neighbor, err = b.begin(b.net.neighbor, job{Role: "small", Lasts: lasts - neighborEarly, Every: neighborEvery})
		return err
	})
	if err != nil {
		return f, err
	}
	after, err := b.net.count()
	if err != nil {
		return f, err
	}
	n, err := neighbor(nil)
	if err != nil {
		return f, err
	}
	return figures{
		Calls: d.Nanos, neighbors: n.Nanos, through: after.minus(before), values: d.Values,
		wrong: d.Wrong + n.Wrong, lasted: d.Lasted, resent: d.Resent, problem: d.Problem,
	}, nil
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
