package control

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// starvation tells threads that wait for a CPU from threads that hang. A thread is
// starved if it is runnable (state R, proc(5)) but has hardly run since it was looked
// at last; one that spins runs, one that is stopped or asleep is not runnable.
type starvation struct {
	root  string           // "/proc"; another in tests
	pid   int              // whose threads ran has
	ran   map[string]int64 // nanoseconds, by task directory
	least int64            // running less than this between two looks is starving
}

func newStarvation(root string, leastNanos int64) *starvation {
	return &starvation{root: root, least: leastNanos}
}

// look reports whether a thread of the process was starved since the last look. The
// first look at a process, and one at a process that has ended, finds nothing.
func (s *starvation) look(pid int) bool {
	tasks, err := filepath.Glob(fmt.Sprintf("%s/%d/task/*", s.root, pid))
	if err != nil || len(tasks) == 0 {
		return false
	}
	before := s.ran
	if pid != s.pid {
		before = nil
	}
	s.pid, s.ran = pid, make(map[string]int64, len(tasks))
	starved := false
	for _, task := range tasks {
		runnable, ran, err := readTask(task)
		if err != nil {
			continue // the thread has ended
		}
		s.ran[task] = ran
		if last, seen := before[task]; seen && runnable && ran-last < s.least {
			starved = true
		}
	}
	return starved
}

// readTask reads a thread's state, and how long it has run (schedstat's first field).
func readTask(dir string) (runnable bool, ranNanos int64, err error) {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return false, 0, err
	}
	schedstat, err := os.ReadFile(filepath.Join(dir, "schedstat"))
	if err != nil {
		return false, 0, err
	}
	state := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	fields := bytes.Fields(schedstat)
	if len(state) == 0 || len(fields) == 0 {
		return false, 0, fmt.Errorf("%s: empty", dir)
	}
	ranNanos, err = strconv.ParseInt(string(fields[0]), 10, 64)
	return state[0][0] == 'R', ranNanos, err
}
