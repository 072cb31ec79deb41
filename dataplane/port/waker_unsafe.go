package port

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ppoll waits on both descriptors. A timeout of 0 does not sleep and so need not
// tell the scheduler.
func (w *Waker) ppoll(timeout time.Duration) (int, error) {
	call := unix.Syscall6
	var until unsafe.Pointer
	if timeout >= 0 {
		w.timeout = unix.NsecToTimespec(int64(timeout))
		until = unsafe.Pointer(&w.timeout)
	}
	if timeout == 0 {
		call = unix.RawSyscall6
	}
	n, _, errno := call(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&w.fds[0])), uintptr(len(w.fds)), uintptr(until), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
