package dataplane

import "golang.org/x/sys/unix"

// sliceNanos is the shortest that the kernel takes.
const sliceNanos = 100_000

// shortSlice asks for short turns on the CPU in exchange for sooner ones. The thread's
// share stays what it is; but when a datagram wakes it up, and somebody with the usual
// slice of milliseconds is on its CPU, it need not wait for that slice's end. From Linux
// 6.12 on: before, the kernel does not listen.
func shortSlice() {
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil || attr.Policy != unix.SCHED_NORMAL {
		return // somebody has given it a better class
	}
	attr.Runtime = sliceNanos
	_ = unix.SchedSetAttr(0, attr, 0) // best effort
}
