package main

import (
	"os"
	"path/filepath"
)

// timerSlackNanos is how much later than asked for the kernel may wake the threads of a
// node's control process.
const timerSlackNanos = "500000"

// loosenTimers lets the threads there are wake up a little late, and with them those
// that they start. Go's monitor thread sleeps for 20 µs at a time while a process has
// something to do every millisecond, as one that replicates has: a tenth of what that
// costs. A system that does not allow it costs as much as before.
func loosenTimers() {
	threads, _ := filepath.Glob("/proc/self/task/*") // the pattern is well-formed
	for _, thread := range threads {
		// A thread has a slack as if it were a process.
		_ = os.WriteFile(filepath.Join("/proc", filepath.Base(thread), "timerslack_ns"), []byte(timerSlackNanos), 0)
	}
}
