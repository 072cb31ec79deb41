package main

import (
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// timerSlack is how much later than asked for the kernel may wake the threads that are
// not shards.
const timerSlack = time.Millisecond

// loosenTimers lets the threads that are there wake up later than they ask for, and
// with them those that they start. Go's monitor thread sleeps for 20 µs at a time as
// long as a shard is in a system call, which is most of the time of one that rests:
// half of what an idle node costs. Shards take their own slack back when they begin.
// It takes CAP_SYS_NICE; without it an idle node costs as much as before.
func loosenTimers() {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	slack := []byte(strconv.FormatInt(timerSlack.Nanoseconds(), 10))
	for _, thread := range threads {
		_ = os.WriteFile(slackOf(thread.Name()), slack, 0) // see above
	}
}

// slackOf is the file of a thread's slack: a thread has one as if it were a process.
func slackOf(thread string) string { return filepath.Join("/proc", thread, "timerslack_ns") }
