package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// precede gives the calling thread, and the processes it starts, precedence over all
// ordinary programs: eighteen machines share this one's processors in the lab, and
// what others do with these is not the network's doing. Best effort.
func precede() {
	realtime := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}
	_ = unix.SchedSetAttr(0, &realtime, 0)
}

// processors is how the machine's processors spent their time so far, in ticks.
type processors struct{ all, stolen uint64 }

// stolenField is that of /proc/stat's first line which counts what the hypervisor
// kept.
const stolenField = 7

func readProcessors() (p processors, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return p, fmt.Errorf("incast: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return parseProcessors(line)
}

// parseProcessors reads the line "cpu user nice system …". The last two fields, of
// guests, are counted in others already.
func parseProcessors(line string) (p processors, err error) {
	fields := strings.Fields(strings.TrimPrefix(line, "cpu"))
	if len(fields) <= stolenField {
		return p, fmt.Errorf("incast: /proc/stat begins with %q", line)
	}
	for i, f := range fields[:stolenField+1] {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return p, fmt.Errorf("incast: /proc/stat begins with %q: %w", line, err)
		}
		p.all += n
		if i == stolenField {
			p.stolen = n
		}
	}
	return p, nil
}

func (p processors) stolenSince(before processors) float64 {
	return float64(p.stolen-before.stolen) / max(1, float64(p.all-before.all))
}
