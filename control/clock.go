package control

import "golang.org/x/sys/unix"

// BootNanos reads the clock that all times on the board are in.
func BootNanos() int64 {
	var ts unix.Timespec
	// CLOCK_BOOTTIME exists since Linux 2.6.39 and cannot fail on a valid pointer.
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return ts.Nano()
}
