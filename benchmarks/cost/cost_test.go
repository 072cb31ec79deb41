package cost

import (
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseCore(t *testing.T) {
	const stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 400 50 6 7 80 0 0\ncpu1 1 2 3 4 5 6 7 8 0 0\nintr 5\n"
	got, err := parseCore(stat, 0)
	if err != nil || got.idleNanos != 4_500_000_000 || got.stealNanos != 800_000_000 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := parseCore(stat, 2); err == nil {
		t.Error("a core that is not there was found")
	}
	if _, err := parseCore("cpu0 1 2 x 4 5 6 7 8 0 0", 0); err == nil {
		t.Error("a column that is no number was taken")
	}
}

func TestParseTicksMindsTheName(t *testing.T) {
	user, system, err := parseTicks("7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 314 159 0 0")
	if err != nil || user != 314 || system != 159 {
		t.Errorf("%d, %d, %v", user, system, err)
	}
	if _, _, err := parseTicks("7 (a) S 1 2"); err == nil {
		t.Error("a short line was taken")
	}
}

func TestParseRun(t *testing.T) {
	if got, err := parseRun("477591 148741 2\n"); err != nil || got != 477591 {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := parseRun("1 2"); err == nil {
		t.Error("two fields were taken")
	}
}

func TestBetween(t *testing.T) {
	start := time.Unix(100, 0)
	from := Sample{
		at: start, core: coreTimes{idleNanos: 10, stealNanos: 100e6},
		pinned:  map[int]thread{1: {runNanos: 50, user: 10}, 2: {runNanos: 9}},
		polling: map[int]thread{9: {runNanos: 1000}},
	}
	to := Sample{
		at: start.Add(time.Second), core: coreTimes{idleNanos: 20, stealNanos: 300e6},
		pinned:  map[int]thread{1: {runNanos: 350e6 + 50, user: 40, system: 10}, 3: {runNanos: 50e6}},
		others:  map[int]thread{4: {runNanos: 7}},
		polling: map[int]thread{9: {runNanos: 320e6 + 1000}},
	}
	slowed := to
	slowed.ballast = thread{runNanos: 60e6}
	if c := Between(from, slowed); c.Busy() != 720.0/740 || c.NotIdleNanos() != 740e6-10 {
		t.Errorf("with ballast: busy %v, not idle %v", c.Busy(), c.NotIdleNanos())
	}
	c := Between(from, to)
	if c.ServerNanos != 400e6 || c.PollNanos != 320e6 || c.OtherNanos != 7 || c.IdleNanos != 10 || c.StealNanos != 200e6 {
		t.Errorf("%+v", c)
	}
	if c.Busy() != 0.9 || c.Steal() != 0.2 || c.UserShare != 0.75 || c.NotIdleNanos() != 800e6-10 {
		t.Errorf("busy %v, steal %v, user %v, not idle %v", c.Busy(), c.Steal(), c.UserShare, c.NotIdleNanos())
	}
}

// TestMeterTellsPinnedThreadsApart burns a little on a pinned thread of this very
// process, and expects it there and not among the others.
func TestMeterTellsPinnedThreadsApart(t *testing.T) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil || all.Count() < 2 {
		t.Skipf("needs two CPUs, may use %d: %v", all.Count(), err)
	}
	cpu := 0
	for !all.IsSet(cpu) {
		cpu++
	}
	m := Meter{PID: os.Getpid(), CPU: cpu}
	ready, burn, done := make(chan bool), make(chan bool), make(chan error)
	stop := make(chan bool)
	go func() {
		runtime.LockOSThread()
		var set unix.CPUSet
		set.Set(cpu)
		err := unix.SchedSetaffinity(0, &set)
		close(ready)
		<-burn
		for i := range 20_000_000 {
			if i == -1 {
				err = unix.EINVAL
			}
		}
		done <- err
		<-stop // lives on, so that the second sample finds it
	}()
	<-ready
	from, err := m.Read()
	if err != nil {
		t.Fatal(err)
	}
	close(burn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	to, err := m.Read()
	close(stop)
	if err != nil {
		t.Fatal(err)
	}
	if c := Between(from, to); c.ServerNanos < 1_000_000 || len(to.others) == 0 {
		t.Errorf("%+v, %d other threads", c, len(to.others))
	}
}
