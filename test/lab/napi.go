package lab

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gannet/tuning"
)

// NAPI is what polls the two ends of the link: kernel threads, each end's on a
// CPU of its own, so that the work of receiving is charged to the side that
// receives.
type NAPI struct {
	Server, Client []int // thread ids
}

// PinNAPI makes both ends receive in kernel threads and pins these. Sockets then
// receive through them, too: veth does so only with GRO on here and TSO off
// there; without, the sender's core would do the receiver's work.
//
// The threads live until the link goes. GRO keeps them when an XDP program comes
// or goes.
func (l *Lab) PinNAPI(serverCPU, clientCPU int) (NAPI, error) {
	server, err := l.Server.pinNAPI(ServerDevice, serverCPU)
	if err != nil {
		return NAPI{}, err
	}
	client, err := l.Client.pinNAPI(ClientDevice, clientCPU)
	return NAPI{Server: server, Client: client}, err
}

func (n NS) pinNAPI(device string, cpu int) ([]int, error) {
	before, err := napiThreads(device)
	if err != nil {
		return nil, err
	}
	err = n.Do(func() error {
		kernel := tuning.Kernel{}
		for _, feature := range []struct {
			name string
			on   bool
		}{{"rx-gro", true}, {"tx-tcp-segmentation", false}, {"tx-tcp6-segmentation", false}, {"tx-tcp-ecn-segmentation", false}, {"tx-tcp-mangleid-segmentation", false}} {
			if err := kernel.SetFeature(device, feature.name, feature.on); err != nil {
				return fmt.Errorf("lab: %s of %s: %w", feature.name, device, err)
			}
		}
		return writeSysfs("class/net/"+device+"/threaded", "1")
	})
	if err != nil {
		return nil, err
	}
	threads, err := awaitThreads(device, before)
	if err != nil {
		return nil, err
	}
	var set unix.CPUSet
	set.Set(cpu)
	for _, tid := range threads {
		if err := unix.SchedSetaffinity(tid, &set); err != nil {
			return nil, fmt.Errorf("lab: pin NAPI thread %d to CPU %d: %w", tid, cpu, err)
		}
	}
	return threads, nil
}

// writeSysfs writes a file of the namespace's own sysfs. It is called on a thread
// that is thrown away, and so are its mounts.
func writeSysfs(name, value string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("lab: own mounts: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("lab: own mounts: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("lab: sysfs of the namespace: %w", err)
	}
	if err := os.WriteFile(filepath.Join("/sys", name), []byte(value), 0o644); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	return nil
}

// napiThreads lists the kernel threads that poll devices of this name, in any
// namespace: their names do not say which.
func napiThreads(device string) (map[int]bool, error) {
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	found := map[int]bool{}
	for _, name := range names {
		comm, err := os.ReadFile(name)
		if err != nil || !strings.HasPrefix(string(comm), "napi/"+device+"-") {
			continue
		}
		if tid, err := strconv.Atoi(strings.Split(name, "/")[2]); err == nil {
			found[tid] = true
		}
	}
	return found, nil
}

// awaitThreads returns the threads that came since before. They exist when the
// kernel's write returns; their names may follow.
func awaitThreads(device string, before map[int]bool) ([]int, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		now, err := napiThreads(device)
		if err != nil {
			return nil, err
		}
		maps.DeleteFunc(now, func(tid int, _ bool) bool { return before[tid] })
		if len(now) > 0 {
			var threads []int
			for tid := range now {
				threads = append(threads, tid)
			}
			return threads, nil
		}
		<-tick.C
	}
	return nil, errors.New("lab: no NAPI thread came: this needs Linux 5.12 or newer")
}

// StartOn starts cmd inside the namespace, with all its threads to come on the
// given CPUs.
func (n NS) StartOn(cmd *exec.Cmd, cpus ...int) error {
	return n.Do(func() error {
		var set unix.CPUSet
		for _, cpu := range cpus {
			set.Set(cpu)
		}
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("lab: pin to CPUs %v: %w", cpus, err)
		}
		return cmd.Start()
	})
}
