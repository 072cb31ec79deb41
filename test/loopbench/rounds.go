package main

import (
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// summary is the median of rounds and their median absolute deviation from it, as
// a share of it.
type summary struct {
	median, spread float64
	rounds         int
}

func summarize(values []float64) summary {
	m := medianOf(values)
	away := make([]float64, len(values))
	for i, v := range values {
		away[i] = math.Abs(v - m)
	}
	s := summary{median: m, rounds: len(values)}
	if m != 0 {
		s.spread = medianOf(away) / math.Abs(m)
	}
	return s
}

func medianOf(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// stolen reads how many ticks the hypervisor has taken, and how many there were.
func stolen() (steal, all float64) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(data), "\n")
	for i, field := range strings.Fields(line)[1:] {
		n, _ := strconv.ParseFloat(field, 64)
		all += n
		if i == 7 {
			steal = n
		}
	}
	return steal, all
}

// quiet runs a round, and again up to twice when over a tenth of it was stolen.
func quiet(round func()) {
	for range 3 {
		s0, a0 := stolen()
		round()
		s1, a1 := stolen()
		if a1-a0 < 10 || (s1-s0)/(a1-a0) <= 0.1 {
			return
		}
	}
}

// monotonic is for intervals.
var started = time.Now()

func monotonic() int64 { return int64(time.Since(started)) }

// cpuNanos is the CPU time of the calling thread so far.
func cpuNanos() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return t.Nano()
}
