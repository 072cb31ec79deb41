package suite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"gannet/benchmarks/ballast"
)

// weight is a running ballast.
type weight struct {
	cmd    *exec.Cmd
	thread int
}

// startBallast takes a share of the server's core. The program's other threads stay
// on the generator's.
func startBallast(ctx context.Context, self string, share float64) (*weight, error) {
	w := &weight{cmd: exec.CommandContext(ctx, self, ballast.Verb, strconv.Itoa(ServerCPU), strconv.FormatFloat(share, 'f', -1, 64))}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("suite: ballast: %w", err)
	}
	var said strings.Builder
	w.cmd.Stderr = &said
	if err := startOn(w.cmd, GeneratorCPU); err != nil {
		return nil, fmt.Errorf("suite: ballast: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("suite: ballast: %w", errors.Join(err, w.cmd.Wait(), errors.New(said.String())))
	}
	if w.thread, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		return nil, fmt.Errorf("suite: ballast: %w", errors.Join(err, w.stop()))
	}
	return w, nil
}

// stop ends it. That it ends by a signal is how it should.
func (w *weight) stop() error {
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("suite: ballast: %w", err)
	}
	_ = w.cmd.Wait()
	return nil
}

// startOn starts a program with all its threads to come on one CPU.
func startOn(cmd *exec.Cmd, cpu int) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its CPU set
		var set unix.CPUSet
		set.Set(cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			done <- err
			return
		}
		done <- cmd.Start()
	}()
	return <-done
}
