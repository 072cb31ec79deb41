package bed

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what threads have had of the CPUs: how long they ran, and how long they
// could have run and had to wait for a CPU.
type Usage struct{ Run, Waited time.Duration }

// Sub is what came since an earlier Usage.
func (u Usage) Sub(before Usage) Usage {
	return Usage{u.Run - before.Run, u.Waited - before.Waited}
}

// Parts of a bed, as [Bed.Usage] knows them.
const (
	PartClient    = "client" // this process
	PartDataplane = "data planes"
	PartControl   = "control processes"
	PartEtcd      = "etcd"
)

// Parts are the names of all parts.
func Parts() []string { return []string{PartClient, PartDataplane, PartControl, PartEtcd} }

// Usage sums for each part what its threads that live have had since they began.
func (b *Bed) Usage() (map[string]Usage, error) {
	all := map[string]Usage{}
	add := func(part string, pid int) {
		u := all[part]
		u.add(pid)
		all[part] = u
	}
	add(PartClient, os.Getpid())
	for _, n := range b.Nodes() {
		pids, err := n.place.processes()
		if err != nil {
			return nil, err
		}
		for _, pid := range pids {
			part := PartDataplane
			if n.process != nil && pid == n.process.cmd.Process.Pid {
				part = PartControl
			}
			add(part, pid)
		}
	}
	for _, e := range b.etcds {
		pids, err := e.place.processes()
		if err != nil {
			return nil, err
		}
		for _, pid := range pids {
			add(PartEtcd, pid)
		}
	}
	return all, nil
}

// add adds a process's threads. What has ended meanwhile counts nothing.
func (u *Usage) add(pid int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // the pattern is well-formed
	for _, file := range files {
		text, _ := os.ReadFile(file) // it may have ended
		if fields := strings.Fields(string(text)); len(fields) >= 2 {
			run, _ := strconv.ParseInt(fields[0], 10, 64)
			waited, _ := strconv.ParseInt(fields[1], 10, 64)
			u.Run += time.Duration(run)
			u.Waited += time.Duration(waited)
		}
	}
}
