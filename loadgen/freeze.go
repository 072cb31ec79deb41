package loadgen

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// freeze stops the data plane and waits until all of it stands still.
func (e *experiment) freeze() (pid int, stopped time.Time, err error) {
	pid, err = e.DataPlanePID()
	if err != nil {
		return 0, stopped, fmt.Errorf("find the data plane: %w", err)
	}
	stopped = time.Now()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		return pid, stopped, fmt.Errorf("stop process %d: %w", pid, err)
	}
	for {
		still, err := standsStill(pid)
		if err != nil {
			return pid, stopped, err
		}
		if still {
			e.probe.arm()
			return pid, stopped, nil
		}
		if err := e.ctx.Err(); err != nil {
			return pid, stopped, fmt.Errorf("process %d does not stop: %w", pid, err)
		}
	}
}

// standsStill says whether every thread of a process is stopped, or has ended
// because somebody killed it meanwhile.
func standsStill(pid int) (bool, error) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if os.IsNotExist(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at process %d: %w", pid, err)
	}
	for _, task := range tasks {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", pid, task.Name()))
		if err != nil {
			continue // this thread has ended
		}
		// The state follows the name, which is in brackets and may hold anything.
		if at := bytes.LastIndexByte(stat, ')'); at < 0 || at+2 >= len(stat) || !bytes.ContainsAny(stat[at+2:at+3], "TtZX") {
			return false, nil
		}
	}
	return true, nil
}
