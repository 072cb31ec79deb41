package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gannet/loadgen"
	"gannet/loadgen/wirefuzz"
	"gannet/test/lab"
)

// withNode runs measure against a real node on native XDP in a namespace.
func (e *env) withNode(ctx context.Context, cfg lab.NodeConfig, measure func(*lab.Lab, *lab.Node) error) (err error) {
	network, err := lab.New(lab.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	cfg.Bin, cfg.Shards = e.bin, 1
	if os.Getenv("VERBOSE") == "1" {
		cfg.Log = os.Stderr
	}
	if cfg.Datapath == "" {
		cfg.Datapath = "xdp"
	}
	node, err := network.StartNode(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\nnode's log:\n%s", err, node.Log())
		}
		err = errors.Join(err, node.Stop())
	}()
	return measure(network, node)
}

// inside runs job in the client's namespace, by this program itself.
func inside(ctx context.Context, l *lab.Lab, job job, into any) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	spec, err := json.Marshal(job)
	if err != nil {
		return err
	}
	var said bytes.Buffer
	if err := l.RunJSON(ctx, into, &said, self, "-inside", string(spec)); err != nil {
		return fmt.Errorf("%w: %s", err, said.String())
	}
	return nil
}

// checkWarm kills the data plane under load and looks at what its successor has.
func checkWarm(ctx context.Context, e *env) error {
	items, valueBytes := 200_000, 1000
	memory := int64(512 << 20)
	if e.full {
		items, memory = 7_600_000, 9<<30 // 8 GB of keys and values
	}
	return e.withNode(ctx, lab.NodeConfig{Memory: memory}, func(l *lab.Lab, n *lab.Node) error {
		var r loadgen.RestartReport
		if err := inside(ctx, l, job{Kind: jobKill, Control: n.PID(), Items: items, ValueBytes: valueBytes}, &r); err != nil {
			return err
		}
		if r.ItemsBefore < int64(items)*99/100 {
			return fmt.Errorf("only %d of %d items were there before the kill", r.ItemsBefore, items)
		}
		note := fmt.Sprintf("%d MB set, %d operations under way, %d failed", int64(items*valueBytes)>>20, r.Operations, r.Failed)
		e.table.AtMost("warm_first_hit_ms", r.FirstHitMillis, 500, 1, "ms", "SIGKILL to the first hit; "+note)
		e.table.AtLeast("warm_items", r.ItemsShare, 0.999, r.ItemsBefore, "share of items", "")
		e.table.AtMost("warm_corrupt", float64(r.Corrupt), 0, r.ItemsAfter, "items", "every item read and compared")
		return nil
	})
}

// checkWatchdog stops the data plane and waits for its successor.
func checkWatchdog(ctx context.Context, e *env) error {
	rounds := 5
	if e.full {
		rounds = 20
	}
	return e.withNode(ctx, lab.NodeConfig{Memory: 128 << 20}, func(l *lab.Lab, n *lab.Node) error {
		var worst, worstHole float64
		for round := range rounds {
			var r loadgen.FreezeReport
			if err := inside(ctx, l, job{Kind: jobFreeze, Control: n.PID(), Items: 1000, ValueBytes: 100, Filled: round > 0}, &r); err != nil {
				return err
			}
			if !r.Replaced || r.Corrupt != 0 {
				return fmt.Errorf("replaced: %v, corrupt: %d", r.Replaced, r.Corrupt)
			}
			worst, worstHole = max(worst, r.FirstHitMillis), max(worstHole, r.FirstAnswerMillis)
			fmt.Fprintf(os.Stderr, "   frozen: first answer after %.0f ms, first hit after %.0f ms\n", r.FirstAnswerMillis, r.FirstHitMillis)
		}
		e.table.AtMost("watchdog_ms", worstHole, 300, int64(rounds), "ms",
			fmt.Sprintf("worst time from SIGSTOP to any answer (unavailable counts); to the first hit of the successor: %.0f ms", worst))
		return nil
	})
}

// checkIdle sums the run time of an idle node's processes.
func checkIdle(ctx context.Context, e *env) error {
	span := 5 * time.Second
	if e.full {
		span = 30 * time.Second
	}
	return e.withNode(ctx, lab.NodeConfig{Memory: 128 << 20}, func(_ *lab.Lab, n *lab.Node) error {
		dataplane, err := n.DataplanePID()
		if err != nil {
			return err
		}
		before, err := runNanos(dataplane)
		if err != nil {
			return err
		}
		controlBefore, err := runNanos(n.PID())
		if err != nil {
			return err
		}
		start := time.Now()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(span):
		}
		after, err := runNanos(dataplane)
		if err != nil {
			return err
		}
		controlAfter, err := runNanos(n.PID())
		if err != nil {
			return err
		}
		took := float64(time.Since(start))
		e.table.AtMost("idle_cpu", float64(after-before)/took, 0.02, int64(span/time.Second), "cores",
			fmt.Sprintf("data plane, schedstat over %v; control process with embedded etcd: %.4f", span, float64(controlAfter-controlBefore)/took))
		return nil
	})
}

// runNanos is the time all threads of a process have run (proc(5), schedstat).
func runNanos(pid int) (int64, error) {
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(paths) == 0 {
		return 0, fmt.Errorf("process %d has no schedstat: %w", pid, errors.Join(err, os.ErrNotExist))
	}
	var sum int64
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // the thread ended
		}
		ran, err := strconv.ParseInt(strings.Fields(string(data))[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		sum += ran
	}
	return sum, nil
}

// checkFuzz throws broken datagrams at the node.
func checkFuzz(ctx context.Context, e *env) error {
	n := 1_000_000
	if e.full {
		n = 10_000_000
	}
	return e.withNode(ctx, lab.NodeConfig{Memory: 128 << 20}, func(l *lab.Lab, node *lab.Node) error {
		var r wirefuzz.Result
		if err := inside(ctx, l, job{Kind: jobFuzz, Items: n}, &r); err != nil {
			return err
		}
		counted, err := node.Metric(ctx, "gannet_drops_total", "")
		if err != nil {
			return err
		}
		alive := 0.0
		if r.Lived() {
			alive = 1
		}
		if r.Unproven.Lost > 0 {
			return fmt.Errorf("%d replies found no room on this side: bytes cannot be compared", r.Unproven.Lost)
		}
		reasons := 0
		for _, c := range r.Reasons {
			if c > 0 {
				reasons++
			}
		}
		e.table.AtLeast("fuzz_alive", alive, 1, int64(n), "1 = answers, memory intact",
			fmt.Sprintf("%d bad datagrams under %d parser reasons; the node counted %.0f drops", r.Broken, reasons, counted))
		u := r.Unproven
		if u.BytesSent == 0 || u.Sent == 0 {
			return errors.New("no unproven byte was sent")
		}
		e.table.AtMost("amplification", max(u.WorstRatio, float64(u.BytesReceived)/float64(u.BytesSent)), 1, u.Sent, "× bytes sent",
			fmt.Sprintf("worst datagram; unproven sources sent %d B and got %d B", u.BytesSent, u.BytesReceived))
		return nil
	})
}

// mostSpinning bounds the programs that compete for the shard's core.
const mostSpinning = 4

// checkOverload offers twice the highest rate. The node serves by kernel sockets and
// has half a core: a whole one outruns any generator on the other core. Where half a
// one does, too, it gets less.
func checkOverload(ctx context.Context, e *env) error {
	cfg := lab.NodeConfig{Memory: 128 << 20, Datapath: "udp", Flags: []string{"--cpus=" + strconv.Itoa(shardCPU)}}
	return e.withNode(ctx, cfg, func(l *lab.Lab, _ *lab.Node) error {
		for spinning := 1; ; spinning++ {
			rival, err := startSpin(ctx)
			if err != nil {
				return err
			}
			defer rival()
			var r loadgen.OverloadReport
			if err := inside(ctx, l, job{Kind: jobOverload}, &r); err != nil {
				return err
			}
			switch {
			case r.Void != "" && spinning < mostSpinning:
				continue
			case r.Void != "":
				return errors.New(r.Void)
			case r.Shed == 0:
				return errors.New("nothing was shed: this was no overload")
			}
			e.table.AtLeast("overload", r.Ratio, 0.9, int64(len(r.Ratios)), "goodput ÷ peak",
				fmt.Sprintf("kernel sockets, 1/%d of a core, 1 KB, budget 20 ms; highest rate %.0f/s; at twice that: %d refused, %d without answer; rounds %.2f",
					spinning+1, r.HighestRate, r.Refused, r.Dropped, r.Ratios))
			return nil
		}
	})
}

// startSpin starts a process that takes half of the shard's core; the function it
// returns ends it.
func startSpin(ctx context.Context) (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	spec, err := json.Marshal(job{Kind: jobSpin})
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-inside", string(spec))
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }, nil
}
