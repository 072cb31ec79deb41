package port

import "golang.org/x/sys/unix"

// BootNanos reads CLOCK_BOOTTIME, the clock of all times in the data plane.
func BootNanos() int64 { return nanos(unix.CLOCK_BOOTTIME) }

// RealNanos reads CLOCK_REALTIME, in which the kernel stamps packets.
func RealNanos() int64 { return nanos(unix.CLOCK_REALTIME) }

func nanos(clock int32) int64 {
	var ts unix.Timespec
	// Both clocks exist on every kernel that Gannet runs on: the call cannot fail.
	_ = unix.ClockGettime(clock, &ts)
	return ts.Nano()
}

// Is4 says whether the peer is an IPv4 one.
func (a Addr) Is4() bool {
	return [12]byte(a.IP[:12]) == [12]byte{10: 0xff, 11: 0xff}
}
