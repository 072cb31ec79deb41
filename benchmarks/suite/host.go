package suite

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// describeHost says what the figures were measured on.
func describeHost(ctx context.Context, root string) Host {
	h := Host{CPUs: runtime.NumCPU(), Go: runtime.Version()}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		h.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		h.MemoryBytes = int64(info.Totalram) * int64(info.Unit)
	}
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo") // absent: the fields stay empty
	for line := range strings.Lines(string(cpuinfo)) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "model name":
			h.CPU = strings.TrimSpace(value)
		case "flags":
			h.Virtual = strings.Contains(value+" ", " hypervisor ")
		}
	}
	commit, err := exec.CommandContext(ctx, "git", "-C", root, "describe", "--always", "--dirty", "--tags").Output()
	if err == nil {
		h.Commit = strings.TrimSpace(string(commit))
	}
	return h
}
