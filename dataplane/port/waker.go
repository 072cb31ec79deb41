package port

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Waker is what a port waits with: it sleeps until a descriptor has something, or
// until Wake. Wake may come from any goroutine, everything else from the port's.
type Waker struct {
	pending atomic.Bool // a Wake that no Poll has seen; set by Wake, cleared by Poll
	mu      sync.Mutex  // guards event against Close during Wake
	event   int         // eventfd; -1 once closed
	fds     [2]unix.PollFd
	count   [8]byte // what Poll reads from event
	timeout unix.Timespec
}

// NewWaker opens a waker.
func NewWaker() (*Waker, error) {
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open an eventfd to wake a port: %w", err)
	}
	return &Waker{event: event}, nil
}

// Wake ends the Poll that runs, or else the next one. Wakes that no Poll has seen
// yet cost no further system call.
func (w *Waker) Wake() {
	if w.pending.Swap(true) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.event >= 0 {
		// EAGAIN would mean a full counter: then Poll ends anyway.
		_, _ = unix.Write(w.event, wakeOne)
	}
}

var wakeOne = binary.NativeEndian.AppendUint64(nil, 1)

// Poll sleeps until fd has one of events, Wake was called or the timeout has
// passed. A negative fd waits for Wake and timeout alone; a negative timeout
// waits for ever.
func (w *Waker) Poll(fd int, events int16, timeout time.Duration) error {
	if w.event < 0 {
		return ErrClosed
	}
	w.fds[0] = unix.PollFd{Fd: int32(fd), Events: events}
	w.fds[1] = unix.PollFd{Fd: int32(w.event), Events: unix.POLLIN}
	n, err := w.ppoll(timeout)
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("ppoll", err)
	}
	if n > 0 && w.fds[1].Revents != 0 {
		w.seen()
	}
	if fd >= 0 && w.fds[0].Revents&unix.POLLNVAL != 0 {
		return fmt.Errorf("poll descriptor %d: %w", fd, unix.EBADF)
	}
	return nil
}

// seen empties the eventfd first: a Wake after the clearing writes it again.
func (w *Waker) seen() {
	_, _ = unix.Read(w.event, w.count[:])
	w.pending.Store(false)
}

// Close ends the waker. A Wake that comes later does nothing.
func (w *Waker) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.event < 0 {
		return nil
	}
	err := unix.Close(w.event)
	w.event = -1
	return os.NewSyscallError("close", err)
}
