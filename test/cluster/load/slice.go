package load

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// sliceNanos is the shortest that the kernel takes.
const sliceNanos = 100_000

// ShortSlices asks for short turns on the CPU in exchange for sooner ones, for all
// threads that this process has, and for none of the processes that they start: clients
// stand for other machines, which would not wait for a CPU until some node's process
// gives it up. Their share of the CPUs stays what it is. From Linux 6.12 on.
func ShortSlices() {
	threads, _ := os.ReadDir("/proc/self/task") // without it all stays as it is
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		if err != nil {
			continue
		}
		if attr, err := unix.SchedGetAttr(tid, 0); err == nil && attr.Policy == unix.SCHED_NORMAL {
			attr.Runtime = sliceNanos
			attr.Flags |= unix.SCHED_FLAG_RESET_ON_FORK
			_ = unix.SchedSetAttr(tid, attr, 0) // it may have ended
		}
	}
}
