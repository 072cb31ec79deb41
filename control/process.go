package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ErrGone is a process that has ended, or whose id names another one by now.
var ErrGone = errors.New("the process is gone")

// Process is a handle on a process which is no child of ours: a pidfd, which never
// names another process, whatever becomes of the id.
type Process struct {
	Target
	file *os.File
}

// OpenProcess gets hold of a process and makes sure that it is the one meant.
func OpenProcess(t Target) (*Process, error) {
	fd, err := unix.PidfdOpen(t.PID, unix.PIDFD_NONBLOCK)
	switch {
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.EINVAL) && t.PID <= 0:
		return nil, ErrGone
	case err != nil:
		return nil, fmt.Errorf("pidfd of process %d (needs Linux 5.10): %w", t.PID, err)
	}
	p := &Process{Target: t, file: os.NewFile(uintptr(fd), "pidfd")}
	// Compared after the pidfd is there: from now on the id cannot be reused.
	if ticks, err := StartTicks(t.PID); err != nil || ticks != t.StartTicks || p.Gone() {
		return nil, errors.Join(ErrGone, p.Close())
	}
	return p, nil
}

// Signal sends a signal.
func (p *Process) Signal(sig unix.Signal) error {
	err := p.control(func(fd int) error { return unix.PidfdSendSignal(fd, sig, nil, 0) })
	if errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	return err
}

// Gone tells whether the process has ended.
func (p *Process) Gone() bool {
	gone := false
	_ = p.control(func(fd int) error {
		gone = ended(fd)
		return nil
	})
	return gone
}

// Wait returns when the process has ended, or with the context's error.
func (p *Process) Wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = p.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := p.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("wait for process %d: %w", p.PID, err)
	}
	err = raw.Read(func(fd uintptr) bool { return ended(int(fd)) })
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Close lets go of the process.
func (p *Process) Close() error { return p.file.Close() }

func (p *Process) control(do func(fd int) error) error {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = do(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// ended asks without waiting: a pidfd is readable once its process has ended.
func ended(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1
}

// StartTicks is the moment a process started, in clock ticks since boot.
func StartTicks(pid int) (uint64, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold anything; field 3 follows the last one.
	rest := stat[bytes.LastIndexByte(stat, ')')+1:]
	fields := bytes.Fields(rest)
	const startTime = 22 - 3
	if len(fields) <= startTime {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields only", pid, len(fields))
	}
	return strconv.ParseUint(string(fields[startTime]), 10, 64)
}
