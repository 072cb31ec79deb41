package dataplane

import (
	"time"

	"golang.org/x/sys/unix"

	"gannet/board"
)

// idle decides how long a loop without work polls before it sleeps. Polling pays
// when the next datagram comes soon: the time doubles when it did, and halves when
// the loop had to sleep after all.
//
// Where others want the CPU, too, it does not pay: what they have to do comes later, and
// so does the next datagram's turn, since the scheduler lets a thread that has run less
// than the others go first when it wakes up.
type idle struct {
	mostNanos  int64
	spinNanos  int64 // poll that long now
	sinceNanos int64 // begin of idleness; 0 = busy
	lastNanos  int64 // begin of the turn before; 0 = the loop has slept since
	gapNanos   int64 // between the last two turns; 0 = the loop slept
	crowdNanos int64 // until then others are thought to want the CPU
}

const (
	leastSpinNanos = 2000
	lateTurnNanos  = 100_000
	// A turn that polls in vain takes a microsecond. When it takes as long as this, yield
	// has let somebody else run.
	crowdGapNanos = 10_000
	// After that polling is not tried for so long.
	crowdNanos = int64(5e6)
)

func (d *idle) init(mostNanos int64) {
	d.mostNanos, d.spinNanos = max(0, mostNanos), max(0, mostNanos)
}

// busy is told that a turn worked.
func (d *idle) busy() {
	if d.sinceNanos != 0 {
		d.spinNanos = min(max(d.spinNanos, leastSpinNanos)*2, d.mostNanos)
		d.sinceNanos = 0
	}
}

// sleep says whether polling has lasted long enough, or is of no use.
func (d *idle) sleep(nowNanos int64) bool {
	switch {
	case d.sinceNanos == 0:
		d.sinceNanos = nowNanos
	case d.gapNanos >= crowdGapNanos: // it polled, and still there was nothing to do after that
		d.crowdNanos = nowNanos + crowdNanos
	}
	return nowNanos < d.crowdNanos || nowNanos-d.sinceNanos >= d.spinNanos
}

// slept is told that the loop had to sleep.
func (d *idle) slept() {
	d.spinNanos /= 2
	d.sinceNanos, d.lastNanos = 0, 0
}

// late says whether something kept the loop from this turn for long, though it had
// not gone to sleep: somebody else ran on its CPU, or the turn before was a long one.
func (d *idle) late(nowNanos int64) bool {
	d.gapNanos = 0
	if d.lastNanos != 0 {
		d.gapNanos = nowNanos - d.lastNanos
	}
	d.lastNanos = nowNanos
	return d.gapNanos > lateTurnNanos
}

// yield lets a thread that waits for this CPU run, at the cost of a system call where
// there is none. The kernel's receive thread may be one (threaded NAPI on the shard's
// own core): a loop that polls without a break keeps it off for milliseconds, and the
// packets that the loop is waiting for with it.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// rest polls or sleeps after a turn without work: until something arrives, a paced
// reply departs or a heartbeat is due.
func (l *Loop) rest(nowNanos int64) error {
	if !l.idle.sleep(nowNanos) {
		yield()
		return nil
	}
	wait := l.wheel.waitNanos(nowNanos, l.cfg.HeartbeatNanos)
	wait = l.continuations.waitNanos(nowNanos, wait)
	if wait <= 0 {
		return nil
	}
	l.idle.slept()
	l.counts.n[board.CountWakeups]++
	return l.port.Wait(time.Duration(wait))
}

// waitNanos returns how long no continuation has anything to send. One whose time has
// come waits for a frame, and is looked at again soon.
func (cs *continuations) waitNanos(nowNanos, longest int64) int64 {
	for i := range cs.list[:cs.size] {
		wait := cs.list[i].departNanos - nowNanos
		if wait <= 0 {
			wait = beatNanos
		}
		longest = min(longest, wait)
	}
	return longest
}
