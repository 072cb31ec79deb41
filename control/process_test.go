package control

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

func startCat(t *testing.T) (*exec.Cmd, Target) {
	t.Helper()
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe() // it lives until its input ends
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	ticks, err := StartTicks(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return cmd, Target{cmd.Process.Pid, ticks}
}

func TestProcessIsKilledAndSeenToEnd(t *testing.T) {
	cmd, target := startCat(t)
	p, err := OpenProcess(target)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.Gone() {
		t.Fatal("gone while it runs")
	}
	if err := p.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if err := p.Signal(unix.SIGKILL); !errors.Is(err, ErrGone) {
		t.Fatalf("signal to a process that is gone: %v", err)
	}
	if _, err := OpenProcess(target); !errors.Is(err, ErrGone) {
		t.Fatalf("open a process that is gone: %v", err)
	}
}

func TestProcessWithAnotherStartIsAStranger(t *testing.T) {
	_, target := startCat(t)
	target.StartTicks++
	if _, err := OpenProcess(target); !errors.Is(err, ErrGone) {
		t.Fatalf("opened a stranger: %v", err)
	}
}

func TestProcessWaitEndsWithTheContext(t *testing.T) {
	_, target := startCat(t)
	p, err := OpenProcess(target)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("wait: %v", err)
	}
}

func TestStartTicksOfThisProcess(t *testing.T) {
	a, err := StartTicks(os.Getpid())
	b, _ := StartTicks(os.Getpid())
	if err != nil || a == 0 || a != b {
		t.Fatalf("%d, %d, %v", a, b, err)
	}
}
