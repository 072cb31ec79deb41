package cost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// userHertz is the unit of /proc/stat, on every architecture Linux runs Go on.
const userHertz = 100

const nanosPerTick = 1e9 / userHertz

// coreTimes are the columns of /proc/stat that this package believes.
type coreTimes struct {
	idleNanos, stealNanos int64
}

// parseCore reads the line of one core from /proc/stat (proc(5)).
func parseCore(stat string, cpu int) (coreTimes, error) {
	name := "cpu" + strconv.Itoa(cpu)
	for line := range strings.Lines(stat) {
		fields := strings.Fields(line)
		if len(fields) < 9 || fields[0] != name {
			continue
		}
		var ticks [8]int64
		for i := range ticks {
			v, err := strconv.ParseInt(fields[i+1], 10, 64)
			if err != nil {
				return coreTimes{}, fmt.Errorf("/proc/stat, %s: %w", name, err)
			}
			ticks[i] = v
		}
		const idle, iowait, steal = 3, 4, 7
		return coreTimes{
			idleNanos:  (ticks[idle] + ticks[iowait]) * nanosPerTick,
			stealNanos: ticks[steal] * nanosPerTick,
		}, nil
	}
	return coreTimes{}, fmt.Errorf("/proc/stat has no line for %s", name)
}

// parseRun reads the time a thread ran, in nanoseconds, from its schedstat.
func parseRun(schedstat string) (int64, error) {
	fields := strings.Fields(schedstat)
	if len(fields) != 3 {
		return 0, fmt.Errorf("schedstat %q has no three fields", schedstat)
	}
	v, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("schedstat: %w", err)
	}
	return v, nil
}

// parseTicks reads user and system ticks from /proc/PID/stat or a thread's. Their
// sum is exact, their proportion is sampled by the tick.
func parseTicks(stat string) (user, system int64, err error) {
	_, rest, ok := cutLast(stat, ')')
	fields := strings.Fields(rest)
	const utime, stime = 11, 12 // counted from the state, the first after the name
	if !ok || len(fields) <= stime {
		return 0, 0, fmt.Errorf("stat %q is cut short", stat)
	}
	user, err = strconv.ParseInt(fields[utime], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("stat: %w", err)
	}
	system, err = strconv.ParseInt(fields[stime], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("stat: %w", err)
	}
	return user, system, nil
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// thread is what one thread has used so far.
type thread struct {
	runNanos     int64
	user, system int64 // ticks
}

// readThread reads a thread of /proc. A thread that ended meanwhile is ErrNotExist.
func readThread(dir string) (thread, error) {
	sched, err := os.ReadFile(filepath.Join(dir, "schedstat"))
	if err != nil {
		return thread{}, ended(err)
	}
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return thread{}, ended(err)
	}
	var t thread
	if t.runNanos, err = parseRun(string(sched)); err != nil {
		return t, err
	}
	t.user, t.system, err = parseTicks(string(stat))
	return t, err
}

// ended makes ErrNotExist of both ways in which a vanished thread shows.
func ended(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}

// pinned says whether a thread may run on this core and no other.
func pinned(tid, cpu int) bool {
	var set unix.CPUSet
	return unix.SchedGetaffinity(tid, &set) == nil && set.Count() == 1 && set.IsSet(cpu)
}
