package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"gannet/alloc"
)

// place decides which CPU runs which shard, and moves the rest of the process off
// those CPUs.
func (n *node) place() error {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return fmt.Errorf("ask which CPUs this process may run on: %w", err)
	}
	var allowed []int
	for cpu := 0; len(allowed) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			allowed = append(allowed, cpu)
		}
	}
	placement, err := n.cfg.Place(allowed)
	if err != nil {
		return err
	}
	n.cpus, n.rest = placement.CPUs, placement.Others
	return keepOff(n.rest)
}

// keepOff binds all threads there are to the given CPUs; later ones inherit it. The
// shards' threads then choose their own.
func keepOff(others []int) error {
	if len(others) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, cpu := range others {
		set.Set(cpu)
	}
	return eachThread(func(tid int) error { return unix.SchedSetaffinity(tid, &set) })
}

// eachThread calls do for each of the process's threads there are.
func eachThread(do func(tid int) error) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("list the own threads: %w", err)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			continue
		}
		if err := do(tid); err != nil && !errors.Is(err, unix.ESRCH) { // it may have ended
			return fmt.Errorf("place thread %d: %w", tid, err)
		}
	}
	return nil
}

// numaNode returns the memory node of a CPU; on machines with one, none.
func numaNode(cpu int) int {
	nodes, _ := filepath.Glob("/sys/devices/system/node/node[0-9]*")
	if len(nodes) < 2 {
		return alloc.NoNUMA
	}
	found, _ := filepath.Glob(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/node[0-9]*", cpu))
	if len(found) != 1 {
		return alloc.NoNUMA
	}
	number, err := strconv.Atoi(filepath.Base(found[0])[len("node"):])
	if err != nil {
		return alloc.NoNUMA
	}
	return number
}
