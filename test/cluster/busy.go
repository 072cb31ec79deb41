package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"gannet/client"
	"gannet/test/cluster/bed"
)

const (
	pulseLength = 500 * time.Millisecond
	pulsePeriod = 2500 * time.Millisecond
	// envStress has this program burn a CPU for so many seconds instead.
	envStress = "CLUSTER_STRESS_SECONDS"
)

// burn keeps a CPU busy.
func burn(seconds string) {
	n, _ := strconv.Atoi(seconds)
	for end := time.Now().Add(time.Duration(n) * time.Second); time.Now().Before(end); {
	}
}

// stress burns every CPU in processes of their own, until stop. They give way to the
// load: with as many runnable threads of equal right as nodes have, two CPUs would not
// carry it.
func stress(seconds int) (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var all []*exec.Cmd
	stop = func() {
		for _, cmd := range all {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	for range runtime.NumCPU() {
		cmd := exec.Command("nice", "-n", "5", self)
		cmd.Env = append(os.Environ(), envStress+"="+strconv.Itoa(seconds))
		if err := cmd.Start(); err != nil {
			stop()
			return nil, fmt.Errorf("stress: %w", err)
		}
		all = append(all, cmd)
	}
	return stop, nil
}

// checkBusy stops nodes for moments on a machine whose CPUs are all busy, and then
// takes control processes away.
func checkBusy(ctx context.Context, e *env) error {
	length := 30 * time.Second
	if e.full {
		length = 5 * time.Minute
	}
	return e.withCluster(ctx, bed.Config{}, func(b *bed.Bed, c *client.Client) error {
		if err := e.busyMachine(ctx, b, c, length); err != nil {
			return err
		}
		return e.withoutControl(ctx, b, c)
	})
}

func (e *env) busyMachine(ctx context.Context, b *bed.Bed, c *client.Client, length time.Duration) error {
	pulses := 0
	t, err := during(ctx, b, c, b.Nodes()[0], 77, func(now func()) error {
		stop, err := stress(int(length/time.Second) + 10)
		if err != nil {
			return err
		}
		defer stop()
		now()
		for end := time.Now().Add(length); time.Now().Before(end) && ctx.Err() == nil; pulses++ {
			n := b.Nodes()[pulses%len(b.Nodes())]
			err := errors.Join(n.Pause(), sleep(ctx, pulseLength), n.Resume(), sleep(ctx, pulsePeriod-pulseLength))
			if err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	t.say("busy")
	e.table.AtMost("busy_promotions", float64(t.promotions()), 0, int64(pulses), "promotions",
		fmt.Sprintf("%v of CPU stress, %d stops of %v of both processes of a node; %d of %d reads failed",
			length, pulses, pulseLength, t.history.FailedReads(t.fault, t.end), t.history.Reads(t.fault, t.end)))
	return nil
}

// withoutControl kills the control process of one node, and stops that of another.
func (e *env) withoutControl(ctx context.Context, b *bed.Bed, c *client.Client) error {
	var pause time.Duration
	failed, reads, promotions := 0, 0, 0
	for i, fault := range []struct {
		what string
		do   func(n *bed.Node) error
	}{
		{"control process killed", func(n *bed.Node) error {
			return errors.Join(n.KillControl(), sleep(ctx, 200*time.Millisecond), n.Start(ctx))
		}},
		{"control process stopped", func(n *bed.Node) error {
			return errors.Join(n.PauseControl(), sleep(ctx, 700*time.Millisecond), n.ResumeControl())
		}},
	} {
		victim := b.Nodes()[i+1]
		t, err := during(ctx, b, c, victim, uint64(80+i), func(now func()) error {
			now()
			return errors.Join(fault.do(victim), sleep(ctx, settleFor))
		})
		if err != nil {
			return err
		}
		t.say(fault.what)
		pause = max(pause, t.history.Gap(t.groups, t.affected, t.fault, t.end))
		failed += t.history.FailedReads(t.begin, t.end)
		reads += t.history.Reads(t.begin, t.end)
		promotions += t.promotions()
	}
	e.table.AtMost("busy_promotions", float64(promotions), 0, 2, "promotions", "control process of a leader killed (back after 0.2 s), and stopped (0.7 s)")
	e.table.AtMost("busy_promotions", millis(pause), 1000, 2, "ms", "longest pause of acknowledged writes of one of its ranges meanwhile")
	e.table.AtMost("busy_promotions", float64(failed), 0, 2, "reads", fmt.Sprintf("failed GETs meanwhile, of %d", reads))
	return nil
}
