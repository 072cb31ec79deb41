package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gannet/client"
	"gannet/test/cluster/bed"
	"gannet/test/cluster/load"
)

const (
	drainPause   = 2 * time.Second // before, between and after the steps
	drainLongest = 60 * time.Second
)

// checkDrain has nodes leave by `gannet ring drain --wait` under load, end, start
// again and return.
func checkDrain(ctx context.Context, e *env) error {
	return e.withCluster(ctx, bed.Config{}, func(b *bed.Bed, c *client.Client) error {
		leaving := b.Nodes()[2:]
		if e.full {
			leaving = append(b.Nodes(), b.Nodes()...)
		}
		l := load.Start(ctx, c, loadConfig(2))
		from := l.Now()
		var steps []string
		for _, n := range leaving {
			step, err := drainOnce(ctx, e, b, n)
			if err != nil {
				l.Stop()
				return fmt.Errorf("%s: %w", n.Name, err)
			}
			steps = append(steps, step)
		}
		pause(ctx, drainPause)
		to := l.Now()
		h := l.Stop()
		if rate := h.Rate(from, to); rate < loadLeast {
			return fmt.Errorf("%w: the load was %.0f requests/s, of %d; %d were not sent", errVoid, rate, loadLeast, h.Skipped)
		}
		n := int64(len(leaving))
		failed, lost := h.FailedReads(from, to)+h.FailedWrites(from, to), h.LostWrites()
		note := fmt.Sprintf("failed, of %d at %.0f/s; %s", h.Ops(from, to), h.Rate(from, to), strings.Join(append(steps, h.FirstErrors(3)...), "; "))
		e.table.AtMost("drain_failed", float64(failed), 0, n, "requests", note)
		acked, degraded := h.Acknowledged(from, to)
		e.table.AtMost("drain_failed", float64(len(lost)), 0, n, "writes", fmt.Sprintf(
			"acknowledged writes lost, of %d, of which %d degraded; %d deleted keys came back", acked, degraded, load.Resurrections(lost)))
		for _, w := range lost {
			fmt.Fprintf(os.Stderr, "   lost: key %d, version %v, acknowledged at %.3f s\n", w.Key, w.Version, float64(w.AckedNanos-from)/1e9)
			printKey(h, w.Key, from)
		}
		return nil
	})
}

// printKey shows what became of a key.
func printKey(h *load.History, key int, from int64) {
	for r := range h.All {
		if int(r.Key) == key {
			fmt.Fprintf(os.Stderr, "     %8.3f to %8.3f s: kind %d, outcome %d, write %d, epoch %d sequence %d, degraded %v\n",
				float64(r.Due-from)/1e9, float64(r.Done-from)/1e9, r.Kind, r.Outcome, r.Number, r.Version.Epoch(), uint64(r.Version)&(1<<40-1), r.Degraded)
		}
	}
}

// drainOnce drains a node by another's control port, ends it, and has it return.
func drainOnce(ctx context.Context, e *env, b *bed.Bed, n *bed.Node) (string, error) {
	pause(ctx, drainPause)
	asked := otherThan(b, n)
	began := time.Now()
	_, err := e.gannet(ctx, drainLongest, "ring", "drain", n.Name, "--wait", "--server", controlOf(asked))
	if err != nil {
		return "", err
	}
	left := time.Since(began)
	pause(ctx, drainPause)
	if err := n.Stop(); err != nil {
		return "", err
	}
	pause(ctx, drainPause)
	began = time.Now()
	if err := n.Start(ctx); err != nil {
		return "", err
	}
	if err := b.AwaitActive(ctx, n); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s out after %.1f s, back after %.1f s", n.Name, left.Seconds(), time.Since(began).Seconds()), nil
}

// otherThan is a node besides n.
func otherThan(b *bed.Bed, n *bed.Node) *bed.Node {
	for _, other := range b.Nodes() {
		if other != n {
			return other
		}
	}
	return n
}

func controlOf(n *bed.Node) string { return n.Addr + ":" + strconv.Itoa(bed.ControlPort) }

// gannet runs the command line and returns what it printed; its errors hold what it
// said.
func (e *env) gannet(ctx context.Context, longest time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(e.bin, "gannet"), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("gannet %s: %w: %s", strings.Join(args[:min(2, len(args))], " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// pause waits unless the context ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// within asks until it is so, and returns how long that took.
func within(ctx context.Context, longest time.Duration, what string, so func() (bool, error)) (time.Duration, error) {
	began := time.Now()
	for {
		is, err := so()
		took := time.Since(began)
		switch {
		case is && err == nil:
			return took, nil
		case ctx.Err() != nil:
			return took, ctx.Err()
		case took > longest:
			return took, errors.Join(fmt.Errorf("not within %v: %s", longest, what), err)
		}
		pause(ctx, 10*time.Millisecond)
	}
}
