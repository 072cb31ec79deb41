package load

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ticks is a clock that ticks at a steady pace: a timer of the kernel's, which the
// runtime's poller waits for as it does for a socket.
type ticks struct {
	every time.Duration
	timer *os.File // nil: the system gave none
	count [8]byte
}

func newTicks(every time.Duration) *ticks {
	t := &ticks{every: every}
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return t // it is out of descriptors: the load is late, and shows it
	}
	pace := unix.ItimerSpec{Interval: unix.NsecToTimespec(int64(every)), Value: unix.NsecToTimespec(int64(every))}
	_ = unix.TimerfdSettime(fd, 0, &pace, nil) // its arguments are good
	t.timer = os.NewFile(uintptr(fd), "timer")
	return t
}

// next returns once a tick has come since the last one.
func (t *ticks) next() {
	if t.timer == nil {
		time.Sleep(t.every)
		return
	}
	_, _ = t.timer.Read(t.count[:]) // it fails once it is closed only
}

func (t *ticks) close() {
	if t.timer != nil {
		_ = t.timer.Close() // nothing was written
	}
}
