package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// job is what a process of its own does in a measurement.
type job struct {
	Kind    string
	Bin     string // folder with the built binaries, for a job with a cluster of its own
	Full    bool
	Servers []string
	Clients int           // in this process
	Readers int           // goroutines, over all clients
	Rounds  int           // or keys
	Lasts   time.Duration // of the load
	Soft    time.Duration
	Slow    time.Duration // what the source takes for a load
}

// jobs are those there are. Each talks with the process that started it by its boss.
var jobs = map[string]func(context.Context, job, *boss) error{
	"allocs":   countAllocs,
	"hot":      measureHotShard,
	"spread":   measureSpread,
	"stale-l1": measureL1Staleness,
	"stampede": joinStampede,
	"lossy":    useLongValues,
	"hold":     holdLeases,
	"succeed":  awaitLeases,
	"script":   scriptStaleSets,
	"soften":   readSoftly,
}

// word is a line between a job and the process that started it.
type word struct {
	Says string
	Key  string        `json:",omitempty"`
	N    int64         `json:",omitempty"`
	Of   int64         `json:",omitempty"`
	X    float64       `json:",omitempty"`
	At   int64         `json:",omitempty"` // boot clock, ns
	Note string        `json:",omitempty"`
	List []string      `json:",omitempty"`
	Took time.Duration `json:",omitempty"`
}

// boss is how a job talks with the process that started it.
type boss struct {
	mu    sync.Mutex
	out   *json.Encoder
	heard *bufio.Scanner
}

// say tells the starting process something.
func (b *boss) say(w word) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.out.Encode(w) // a starting process that has gone takes this one with it
}

// listen waits for the next word from it; io.EOF when it has none any more.
func (b *boss) listen() (w word, err error) {
	if !b.heard.Scan() {
		return w, errors.Join(b.heard.Err(), io.EOF)
	}
	return w, json.Unmarshal(b.heard.Bytes(), &w)
}

// await waits for one word, and for no other.
func (b *boss) await(says string) (word, error) {
	w, err := b.listen()
	if err == nil && w.Says != says {
		err = fmt.Errorf("told %q instead of %q", w.Says, says)
	}
	return w, err
}

// runInside does a job in this process.
func runInside(ctx context.Context, spec string) error {
	var j job
	if err := json.Unmarshal([]byte(spec), &j); err != nil {
		return fmt.Errorf("job %q: %w", spec, err)
	}
	do, ok := jobs[j.Kind]
	if !ok {
		return fmt.Errorf("unknown job %q", j.Kind)
	}
	return do(ctx, j, &boss{out: json.NewEncoder(os.Stdout), heard: bufio.NewScanner(os.Stdin)})
}

// helper is a job seen from the process that started it.
type helper struct {
	name  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	words chan word
	err   error // when words is closed: why
	wrong bytes.Buffer
}

// starter starts a command where jobs run: in a namespace, or right here.
type starter func(*exec.Cmd) error

// hire starts a job.
func hire(start starter, j job) (*helper, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	spec, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	h := &helper{name: j.Kind, cmd: exec.Command(self, "-inside", string(spec)), words: make(chan word, 1024)}
	h.cmd.Stderr = &h.wrong
	if h.in, err = h.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := start(h.cmd); err != nil {
		return nil, fmt.Errorf("start job %s: %w", j.Kind, err)
	}
	go h.read(out)
	return h, nil
}

// read passes on what the job says until it has ended.
func (h *helper) read(out io.Reader) {
	defer close(h.words)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var w word
		if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
			h.err = fmt.Errorf("job %s said %q: %w", h.name, lines.Bytes(), err)
			break
		}
		h.words <- w
	}
	if err := h.cmd.Wait(); err != nil && h.err == nil {
		h.err = fmt.Errorf("job %s: %w: %s", h.name, err, h.wrong.String())
	}
}

// tell says something to the job.
func (h *helper) tell(w word) error {
	if err := json.NewEncoder(h.in).Encode(w); err != nil {
		return fmt.Errorf("job %s does not listen: %w", h.name, err)
	}
	return nil
}

// await waits until the job says so; any other word is a mistake.
func (h *helper) await(ctx context.Context, says string) (word, error) {
	select {
	case w, open := <-h.words:
		switch {
		case !open:
			return w, errors.Join(fmt.Errorf("job %s ended before it said %q", h.name, says), h.err)
		case w.Says != says:
			return w, fmt.Errorf("job %s said %q instead of %q (%s)", h.name, w.Says, says, w.Note)
		}
		return w, nil
	case <-ctx.Done():
		return word{}, fmt.Errorf("job %s: waiting for %q: %w", h.name, says, ctx.Err())
	}
}

// dismiss ends the job, if it has not ended, and says what went wrong with it.
func (h *helper) dismiss() error {
	_ = h.in.Close()
	for {
		select {
		case _, open := <-h.words:
			if !open {
				return h.err
			}
		case <-time.After(10 * time.Second):
			_ = h.cmd.Process.Kill()
		}
	}
}

// kill ends the job by SIGKILL, as a crash would.
func (h *helper) kill() {
	_ = h.cmd.Process.Kill()
	for range h.words { //nolint:revive // until it has ended
	}
}

// team is several jobs of a kind.
type team []*helper

// hireTeam starts n of them.
func hireTeam(start starter, n int, j job) (team, error) {
	var t team
	for range n {
		h, err := hire(start, j)
		if err != nil {
			return nil, errors.Join(err, t.dismiss())
		}
		t = append(t, h)
	}
	return t, nil
}

func (t team) tell(w word) error {
	var errs []error
	for _, h := range t {
		errs = append(errs, h.tell(w))
	}
	return errors.Join(errs...)
}

// await waits until each has said so.
func (t team) await(ctx context.Context, says string) ([]word, error) {
	words := make([]word, len(t))
	for i, h := range t {
		var err error
		if words[i], err = h.await(ctx, says); err != nil {
			return nil, err
		}
	}
	return words, nil
}

func (t team) dismiss() error {
	var errs []error
	for _, h := range t {
		errs = append(errs, h.dismiss())
	}
	return errors.Join(errs...)
}

// ignoreEOF makes an end without complaint of a starting process that says no more.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
