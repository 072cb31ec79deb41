// Package ballast takes a fixed share of a core away, in slices much shorter than any
// queue: whoever else runs there has a slower core.
//
// One generator's core cannot fill a server whose requests cost less than the
// generator's own. A server that waits shows what waiting costs, not what a request
// costs. With ballast on its core the server is full at a rate that the generator
// can offer, its nanoseconds per request are what they are, and the ballast's own
// time counts like time that a hypervisor takes. It weighs on all servers of a
// comparison alike.
package ballast

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Verb by which this program is started as ballast: CPU, share.
const Verb = "ballast"

// Period of taking and leaving, on average. In what is left of one period a server at full load
// handles some dozen requests: fewer than wait for it.
const Period = 400 * time.Microsecond

// most leaves the kernel's limit for real-time threads (95 %) alone.
const most = 0.9

// Run takes share of a core until ctx ends. Once it does it prints its thread's id.
func Run(ctx context.Context, out io.Writer, cpu, share string) error {
	number, err := strconv.Atoi(cpu)
	if err != nil {
		return fmt.Errorf("%s: CPU: %w", Verb, err)
	}
	part, err := strconv.ParseFloat(share, 64)
	if err != nil || part <= 0 || part > most {
		return fmt.Errorf("%s: share %q: give a number up to %v", Verb, share, most)
	}
	runtime.LockOSThread() // never given back: the thread ends with the program
	if err := claim(number); err != nil {
		return err
	}
	fmt.Fprintln(out, unix.Gettid())
	return take(ctx, part)
}

// claim makes this thread a real-time one on the core: it preempts at once, and does
// not count in the scheduler's fair shares.
func claim(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("%s: pin to CPU %d: %w", Verb, cpu, err)
	}
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		return fmt.Errorf("%s: real-time scheduling: %w: run as root", Verb, err)
	}
	return nil
}

// take spins for its share of each period. It sleeps to absolute times, so that a late
// period does not shift those that follow; one that was missed altogether is not made
// up for. Periods differ: with equal ones the scheduler's tick would meet the ballast
// always or never, and what it samples of the server would be wrong.
func take(ctx context.Context, share float64) error {
	for next := now(); ctx.Err() == nil; {
		period := float64(Period) * (0.5 + rand.Float64())
		for end := next + int64(share*period); now() < end; {
		}
		next = max(next+int64(period), now())
		at := unix.NsecToTimespec(next)
		if err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &at, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("%s: sleep: %w", Verb, err)
		}
	}
	return nil
}

func now() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return t.Nano()
}
