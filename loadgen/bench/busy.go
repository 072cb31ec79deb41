package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// busy adds up the time in which a thread had something to do, within the measured
// window. Of a turn that found something, all is counted, also what others took from
// it meanwhile: a generator that does not get its core is as late as a slow one.
type busy struct {
	began, ended int64 // the window as the thread met it; 0 = not yet
	nanos        int64
	cpuBegan     int64
	cpuNanos     int64
}

// turn adds one turn of the loop.
func (b *busy) turn(began, ended int64, useful bool, window span) {
	if !window.has(began) {
		return
	}
	if b.began == 0 {
		b.began, b.cpuBegan = began, threadCPU()
	}
	b.ended = ended
	if useful {
		b.nanos += ended - began
	}
}

// end closes the account.
func (b *busy) end(nanos int64) {
	if b.began != 0 {
		b.ended, b.cpuNanos = max(nanos, b.ended), threadCPU()-b.cpuBegan
	}
}

// share is the busy part of the time that the hypervisor did not take.
func (b *busy) share(stealShare float64) float64 {
	elapsed := float64(b.ended-b.began) * (1 - stealShare)
	if b.began == 0 || elapsed <= 0 {
		return 0
	}
	return min(float64(b.nanos)/elapsed, 1)
}

// threadCPU is the calling thread's CPU time so far.
func threadCPU() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return t.Nano()
}

// bootNanos is the boot clock.
func bootNanos() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 0
	}
	return t.Nano()
}

// steal is what the hypervisor took from each CPU so far, in ticks, beside all ticks.
type steal map[int]struct{ taken, all uint64 }

const (
	stealColumn = 8 // of a line of /proc/stat, its name being the first
	guestColumn = 9 // guest time is in user time already
)

// readSteal reads /proc/stat.
func readSteal() (steal, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return nil, fmt.Errorf("steal time: %w", err)
	}
	s := steal{}
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) <= stealColumn || !bytes.HasPrefix(fields[0], []byte("cpu")) {
			continue
		}
		cpu, err := strconv.Atoi(string(fields[0][3:]))
		if err != nil {
			continue // the line of all CPUs
		}
		entry := s[cpu]
		for column, field := range fields[1:] {
			ticks, err := strconv.ParseUint(string(field), 10, 64)
			if err != nil || column+1 >= guestColumn {
				break
			}
			entry.all += ticks
			if column+1 == stealColumn {
				entry.taken = ticks
			}
		}
		s[cpu] = entry
	}
	return s, nil
}

// share is what was taken since an earlier reading: from one CPU, or, for -1, from
// all.
func (s steal) share(earlier steal, cpu int) float64 {
	var taken, all uint64
	for n, now := range s {
		if cpu < 0 || n == cpu {
			taken += now.taken - earlier[n].taken
			all += now.all - earlier[n].all
		}
	}
	if all == 0 {
		return 0
	}
	return float64(taken) / float64(all)
}
