package dataplane

import (
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"gannet/board"
)

// Stop tells loops to end. The zero value is ready.
type Stop struct{ set atomic.Bool }

// Set tells them. Those that sleep notice when woken, or at their next heartbeat.
func (s *Stop) Set() { s.set.Store(true) }

// IsSet says whether they were told.
func (s *Stop) IsSet() bool { return s.set.Load() }

// drainNanos bounds how long a loop that was stopped goes on with what it has.
const drainNanos = int64(500e6)

// Run serves until stop is set, on one thread that runs on the given CPU alone
// (a negative one: on any), then drains. clock reads CLOCK_BOOTTIME.
func (l *Loop) Run(stop *Stop, cpu int, clock func() int64) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(l.change.ended)
	if err := pin(cpu); err != nil {
		return err
	}
	exactSleep()
	shortSlice()
	l.neighbor.heartbeat.SetThread(unix.Gettid())
	l.Turn(clock())
	close(l.started)
	for !stop.IsSet() {
		now := clock()
		if l.idle.late(now) {
			l.counts.n[board.CountLateTurns]++
		}
		if l.Turn(now) {
			l.idle.busy()
			l.stamp(now)
			continue
		}
		if err := l.rest(now); err != nil {
			return fmt.Errorf("shard %d: %w", l.cfg.Shard, err)
		}
	}
	return l.drain(clock)
}

// stamp tells the XDP program that a turn with work is over: what arrives from here on
// gets a new reading of the clock.
func (l *Loop) stamp(nowNanos int64) {
	if l.cfg.Stamp != nil {
		l.cfg.Stamp(nowNanos)
	}
}

// Started is closed once Run has made its first turn: the shard serves, and its
// heartbeat is on the board.
func (l *Loop) Started() <-chan struct{} { return l.started }

// pin binds the calling thread to a CPU. It stays bound: the thread ends with its
// goroutine unless that is unlocked again, and Run's is the process's own.
func pin(cpu int) error {
	if cpu < 0 {
		return nil
	}
	var set unix.CPUSet
	set.Zero()
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("bind the shard's thread to CPU %d: %w: choose CPUs that this process may run on", cpu, err)
	}
	return nil
}

// drain answers what is queued, lets long replies end and tails come back, for a
// bounded time.
func (l *Loop) drain(clock func() int64) error {
	l.hot.end()
	end := clock() + drainNanos
	for now := clock(); now < end; now = clock() {
		worked := l.Turn(now)
		if !worked && l.heldFrames() == 0 && l.store.Stats().Pins == 0 {
			break
		}
	}
	l.giveUp()
	l.publishCounters()
	return nil
}

// giveUp gives back every frame that is still held.
func (l *Loop) giveUp() {
	l.counts.reason[ReasonDrained] += uint64(l.heldFrames())
	l.wheel.due(1<<62, l.leaveFrame)
	for l.continuations.size > 0 {
		l.port.Release(l.continuations.list[0].rx.Frame)
		l.endContinuation(0)
	}
	for i := range l.neighbor.waits.list {
		l.port.Release(l.neighbor.waits.list[i].rx.Frame)
	}
	l.neighbor.waits.list = l.neighbor.waits.list[:0]
	for _, tx := range l.tx {
		l.port.Release(tx.Frame)
		if tx.Token != 0 {
			l.giveBack(tx.Token)
		}
	}
	clear(l.tx)
	l.tx = l.tx[:0]
}

// Close ends a loop that no longer runs: its port first, so that nobody reads
// slabs any more, then its shard, which is marked clean.
func (l *Loop) Close() error {
	portErr := l.port.Close()
	storeErr := l.store.Close()
	if portErr != nil {
		return fmt.Errorf("shard %d: close its port: %w", l.cfg.Shard, portErr)
	}
	if storeErr != nil {
		return fmt.Errorf("shard %d: close it: %w", l.cfg.Shard, storeErr)
	}
	return nil
}

// checkCensus compares the loop's account of frames with the port's, and the shard's
// of header rooms with the port's of slots in flight.
func (l *Loop) checkCensus() {
	census := l.port.Census()
	if !census.Balanced() || census.Held != l.heldFrames() || census.Slots > l.store.RoomsTaken() {
		l.counts.n[board.CountFrameCensusBad]++
		panic(fmt.Sprintf("dataplane: frame census %+v, of which the loop holds %d; the shard has %d rooms taken", census, l.heldFrames(), l.store.RoomsTaken()))
	}
}
