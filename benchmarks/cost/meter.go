package cost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Meter says what is measured.
type Meter struct {
	PID  int   // the server; 0 = all work is done by Polling
	CPU  int   // the core it is pinned to
	Poll []int // kernel threads that poll the server's end of the link
	// Ballast is the thread that takes a share of the core away; 0 = none.
	Ballast int
}

// Sample is what has been used up to one moment.
type Sample struct {
	at      time.Time
	pinned  map[int]thread
	others  map[int]thread
	polling map[int]thread
	ballast thread
	core    coreTimes
}

// Cost is what was used between two samples.
type Cost struct {
	WallNanos int64 `json:"wall_nanos"`
	// ServerNanos is the run time of the server's pinned threads, PollNanos that of
	// the kernel threads that receive for it.
	ServerNanos int64 `json:"server_nanos"`
	PollNanos   int64 `json:"poll_nanos"`
	// OtherNanos is what the server's process ran on other cores. It is not counted.
	OtherNanos int64 `json:"other_nanos"`
	IdleNanos  int64 `json:"idle_nanos"` // of the core
	// StealNanos the hypervisor took, BallastNanos the suite itself.
	StealNanos   int64 `json:"steal_nanos"`
	BallastNanos int64 `json:"ballast_nanos"`
	// UserShare is the part of ServerNanos spent in user space, sampled by the tick.
	UserShare float64 `json:"user_share"`
}

// Read takes a sample.
func (m Meter) Read() (Sample, error) {
	s := Sample{at: time.Now(), pinned: map[int]thread{}, others: map[int]thread{}, polling: map[int]thread{}}
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return s, fmt.Errorf("cost: %w", err)
	}
	if s.core, err = parseCore(string(stat), m.CPU); err != nil {
		return s, fmt.Errorf("cost: %w", err)
	}
	for _, tid := range m.Poll {
		t, err := readThread("/proc/" + strconv.Itoa(tid))
		if err != nil {
			return s, fmt.Errorf("cost: polling thread %d: %w", tid, err)
		}
		s.polling[tid] = t
	}
	if m.Ballast != 0 {
		if s.ballast, err = readThread("/proc/" + strconv.Itoa(m.Ballast)); err != nil {
			return s, fmt.Errorf("cost: ballast: %w", err)
		}
	}
	if m.PID == 0 {
		return s, nil
	}
	return s, m.readServer(&s)
}

func (m Meter) readServer(s *Sample) error {
	dir := fmt.Sprintf("/proc/%d/task", m.PID)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cost: threads of process %d: %w", m.PID, err)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			continue
		}
		t, err := readThread(filepath.Join(dir, task.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cost: thread %d: %w", tid, err)
		}
		if pinned(tid, m.CPU) {
			s.pinned[tid] = t
		} else {
			s.others[tid] = t
		}
	}
	return nil
}

// Between is what was used from one sample to a later one.
func Between(from, to Sample) Cost {
	server := used(from.pinned, to.pinned)
	c := Cost{
		WallNanos:   int64(to.at.Sub(from.at)),
		ServerNanos: server.runNanos,
		PollNanos:   used(from.polling, to.polling).runNanos,
		OtherNanos:  used(from.others, to.others).runNanos,
		IdleNanos:   to.core.idleNanos - from.core.idleNanos,
		StealNanos:  to.core.stealNanos - from.core.stealNanos,

		BallastNanos: to.ballast.runNanos - from.ballast.runNanos,
	}
	if ticks := server.user + server.system; ticks > 0 {
		c.UserShare = float64(server.user) / float64(ticks)
	}
	return c
}

// used sums over threads; one that is new began at nothing.
func used(from, to map[int]thread) thread {
	var sum thread
	for tid, t := range to {
		f := from[tid]
		sum.runNanos += t.runNanos - f.runNanos
		sum.user += t.user - f.user
		sum.system += t.system - f.system
	}
	return sum
}

// Nanos is what the server spent, its polling included.
func (c Cost) Nanos() int64 { return c.ServerNanos + c.PollNanos }

// Busy is the share that the server used of what the core had for it: neither stolen
// nor taken by the ballast.
func (c Cost) Busy() float64 {
	had := c.WallNanos - c.StealNanos - c.BallastNanos
	if had <= 0 {
		return 0
	}
	return float64(c.Nanos()) / float64(had)
}

// Steal is the share of wall time that the hypervisor took.
func (c Cost) Steal() float64 {
	if c.WallNanos <= 0 {
		return 0
	}
	return float64(c.StealNanos) / float64(c.WallNanos)
}

// NotIdleNanos is the cross-check of Nanos: what the core did not idle away,
// whoever ran. It is exact to the ticks at both ends.
func (c Cost) NotIdleNanos() int64 { return c.WallNanos - c.StealNanos - c.BallastNanos - c.IdleNanos }
