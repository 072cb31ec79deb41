package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gannet/board"
)

// drainLongest is how long a data plane may take to end after SIGTERM.
const drainLongest = 10 * time.Second

// Supervisor runs the data plane and starts it again whenever it ends.
type Supervisor struct {
	Binary  string
	Args    []string
	Environ []string
	Output  io.Writer // the data plane's stdout and stderr
	// DieWithParent ends the data plane when this process dies, whatever the
	// cause: for development. In production it must go on serving.
	DieWithParent bool
	// Confine has the CPUs to which this process withdraws, once a thread with the
	// original CPU set is set aside for starting children.
	Confine []int
	Link    *Link
	// Adopt tells whether a data plane that already runs is the wanted one.
	Adopt func(board.NodeInfo) bool
	// Served counts the data planes that were seen serving.
	Served func() uint64
	Log    *slog.Logger

	restarts atomic.Uint64
}

// NoDataplaneError is a data plane's binary that is not there.
type NoDataplaneError struct{ Path string }

func (e *NoDataplaneError) Error() string {
	return fmt.Sprintf("%s is not there or not executable; build it beside gannet (make build), or name it with --dataplane-binary", e.Path)
}

// FindDataplane looks for the binary: the one wanted, or the one beside this
// executable.
func FindDataplane(wanted string) (string, error) {
	path := wanted
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find the own executable (name the data plane with --dataplane-binary): %w", err)
		}
		path = filepath.Join(filepath.Dir(self), "gannet-dataplane")
	}
	if unix.Access(path, unix.X_OK) != nil {
		return "", &NoDataplaneError{path}
	}
	return path, nil
}

// Restarts counts the starts after the first.
func (s *Supervisor) Restarts() uint64 { return s.restarts.Load() }

// Run keeps a data plane running until the context ends, then drains it.
func (s *Supervisor) Run(ctx context.Context) error {
	// Children inherit the CPU set of the thread that forks, and Pdeathsig means
	// the death of that thread: so it is one of our own, for as long as Run runs.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if len(s.Confine) > 0 {
		if err := confine(s.Confine, unix.Gettid()); err != nil {
			s.Log.Warn("the control process shares the shards' CPUs", "error", err)
		}
	}
	if err := s.takeOver(ctx); err != nil {
		return err
	}
	return s.keep(ctx)
}

func (s *Supervisor) keep(ctx context.Context) error {
	var policy restarts
	unserved := 0
	for ctx.Err() == nil {
		started := time.Now()
		before := s.Served()
		err := s.life(ctx)
		if ctx.Err() != nil {
			return err
		}
		if s.Served() != before {
			unserved = 0
		} else {
			unserved++
		}
		if unserved >= restartHopeless || errors.Is(err, errNotStarted) {
			return fmt.Errorf("the data plane ended %d times before it served; its own message stands above: %w", unserved, err)
		}
		wait := policy.next(time.Since(started))
		s.restarts.Add(1)
		s.Log.Warn("data plane ended; starting it again, warm", "cause", err, "lived", time.Since(started).Round(time.Millisecond), "wait", wait)
		sleep(ctx, wait)
	}
	return nil
}

var errNotStarted = errors.New("the data plane could not be started")

// life is one data plane from start to end.
func (s *Supervisor) life(ctx context.Context) error {
	cmd := exec.Command(s.Binary, s.Args...)
	cmd.Env = withoutNotify(s.Environ)
	cmd.Stdout, cmd.Stderr = s.Output, s.Output
	cmd.WaitDelay = time.Second
	// A group of its own: Ctrl-C reaches us alone, and we drain it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.DieWithParent {
		cmd.SysProcAttr.Pdeathsig = unix.SIGTERM
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: %w", errNotStarted, err)
	}
	s.Log.Debug("data plane started", "pid", cmd.Process.Pid, "args", cmd.Args)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err == nil {
			return errors.New("exit status 0")
		}
		return err
	case <-ctx.Done():
		return s.drain(cmd.Process, ended)
	}
}

func (s *Supervisor) drain(p *os.Process, ended <-chan error) error {
	_ = p.Signal(unix.SIGTERM) // it may have ended this moment: then ended says so
	// A stopped process takes no SIGTERM; a running one does not mind.
	_ = p.Signal(unix.SIGCONT)
	timeout := time.NewTimer(drainLongest)
	defer timeout.Stop()
	select {
	case err := <-ended:
		return err
	case <-timeout.C:
		_ = p.Kill()
		<-ended
		return fmt.Errorf("the data plane did not drain within %s and was killed; its data is attached warm at the next start", drainLongest)
	}
}

// takeOver deals with a data plane that runs already: left by a control process
// that died. The wanted one is adopted and watched; another one is drained.
func (s *Supervisor) takeOver(ctx context.Context) error {
	process, info := s.running()
	if process == nil {
		return nil
	}
	defer process.Close()
	if s.Adopt(info) {
		s.Log.Info("took over the data plane that was running", "pid", process.PID)
		if err := process.Wait(ctx); err == nil {
			s.restarts.Add(1)
			s.Log.Warn("data plane ended; starting it again, warm", "pid", process.PID)
			return nil
		}
	} else {
		s.Log.Info("another data plane holds the data directory; draining it", "pid", process.PID)
	}
	return s.endAdopted(process)
}

func (s *Supervisor) endAdopted(process *Process) error {
	_ = process.Signal(unix.SIGTERM)
	_ = process.Signal(unix.SIGCONT)
	ctx, cancel := context.WithTimeout(context.Background(), drainLongest)
	defer cancel()
	if process.Wait(ctx) == nil {
		return nil
	}
	if err := process.Signal(unix.SIGKILL); err != nil && !errors.Is(err, ErrGone) {
		return fmt.Errorf("end the data plane %d that holds the data directory: %w", process.PID, err)
	}
	return process.Wait(context.Background())
}

func (s *Supervisor) running() (*Process, board.NodeInfo) {
	s.Link.Refresh()
	var target Target
	var info board.NodeInfo
	s.Link.With(func(b *board.Board) {
		target.PID, target.StartTicks = b.Node().PID()
		info, _ = b.Node().Info()
	})
	if target.PID == 0 {
		return nil, info
	}
	process, err := OpenProcess(target)
	if err != nil {
		return nil, info
	}
	return process, info
}

func withoutNotify(environ []string) []string {
	kept := make([]string, 0, len(environ))
	for _, entry := range environ {
		// Readiness of the node is ours to report.
		if !strings.HasPrefix(entry, "NOTIFY_SOCKET=") {
			kept = append(kept, entry)
		}
	}
	return kept
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// EndLeftover ends a data plane that a control process which is gone has left in a
// data directory.
func EndLeftover(dataDir string, log *slog.Logger) error {
	s := &Supervisor{Link: NewLink(dataDir, log), Log: log}
	process, _ := s.running()
	if process == nil {
		return s.Link.Close()
	}
	return errors.Join(s.endAdopted(process), process.Close(), s.Link.Close())
}
