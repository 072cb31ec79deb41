package bed

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is one that was started in a place; its log is a file.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// startIn starts a command in a place. It is a group of its own: Ctrl-C is ours alone.
func startIn(p *place, cmd *exec.Cmd, log string) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("bed: %w", err)
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.Do(cmd.Start); err != nil {
		return nil, fmt.Errorf("bed: start in %s: %w", p.Name(), err)
	}
	started := &process{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended stands in its log
		close(started.done)
	}()
	return started, nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

const stopLongest = 20 * time.Second

// stop ends it in order, and waits.
func (p *process) stop() error {
	if p == nil {
		return errNotStarted
	}
	_ = p.cmd.Process.Signal(unix.SIGTERM) // it may have ended
	select {
	case <-p.done:
		return nil
	case <-time.After(stopLongest):
		return fmt.Errorf("bed: process %d did not end within %v of SIGTERM", p.cmd.Process.Pid, stopLongest)
	}
}

const tailLines = 30

// tail is the end of a log.
func tail(log string) string {
	data, err := os.ReadFile(log)
	if err != nil {
		return err.Error() + "\n"
	}
	lines := strings.SplitAfter(string(data), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "")
}
