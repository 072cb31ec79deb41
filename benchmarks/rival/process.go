package rival

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"gannet/test/lab"
)

// patience is how long a server may take to start or to end.
const patience = 20 * time.Second

// process is a started program with what it has said.
type process struct {
	cmd  *exec.Cmd
	said *output
	exit chan error
}

// output collects a program's output and tells when it holds a text.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	want string
	seen chan struct{}
}

func newOutput(want string) *output { return &output{want: want, seen: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	if o.want != "" && strings.Contains(o.text.String(), o.want) {
		o.want = ""
		close(o.seen)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start runs a program in the namespace, on the server's core.
func (h Host) start(ready, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(name, args...), said: newOutput(ready), exit: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	if err := h.Lab.Server.StartOn(p.cmd, h.CPU); err != nil {
		return nil, err
	}
	go func() { p.exit <- p.cmd.Wait() }()
	return p, nil
}

// await waits for the text that says that the program is ready.
func (p *process) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-p.said.seen:
		return nil
	case err := <-p.exit:
		p.exit <- err
		return fmt.Errorf("it ended at once (%w): %s", err, p.said)
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("it did not become ready: %w: %s", ctx.Err(), p.said), p.stop())
	}
}

// awaitPort waits until a TCP port of the server's address takes connections.
func (p *process) awaitPort(ctx context.Context, l *lab.Lab, port int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := dial(ctx, l, port); err == nil {
			return conn, nil
		}
		select {
		case err := <-p.exit:
			p.exit <- err
			return nil, fmt.Errorf("it ended at once (%w): %s", err, p.said)
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("port %d did not open: %w: %s", port, ctx.Err(), p.said), p.stop())
		case <-tick.C:
		}
	}
}

// dial connects from within the server's namespace.
func dial(ctx context.Context, l *lab.Lab, port int) (conn net.Conn, err error) {
	err = l.Server.Do(func() error {
		var d net.Dialer
		conn, err = d.DialContext(ctx, "tcp", fmt.Sprintf("%s:%d", lab.ServerAddr, port))
		return err
	})
	return conn, err
}

// stop ends the program by SIGTERM. How it then ended is not looked at.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exit:
		return nil
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.exit
		return fmt.Errorf("%s did not end within %v of SIGTERM", p.cmd.Path, patience)
	}
}

func (p *process) running(version, config string) *Running {
	return &Running{
		PID: p.cmd.Process.Pid, Version: version, Config: config, Stop: p.stop, Log: p.said.String,
	}
}

// line is the first line a command prints.
func line(name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s: %v", name, err)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return first
}

func commandLine(name string, args []string) string { return name + " " + strings.Join(args, " ") }
