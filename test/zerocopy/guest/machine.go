package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gannet/test/lab/space"
)

const (
	serverDevice = "eth0"
	clientDevice = "eth1"
	serverAddr   = "10.9.0.1"
	clientAddr   = "10.9.0.2"
	dataDir      = "/data"
	// linkMTU lets a value of 1,400 B leave in one datagram, headers included.
	linkMTU = 1600
)

// bringUp makes a machine of what the kernel left.
func bringUp() error {
	for _, m := range []struct{ source, target, kind, options string }{
		{"proc", "/proc", "proc", ""},
		{"sys", "/sys", "sysfs", ""},
		{"dev", "/dev", "devtmpfs", ""},
		{"tmp", "/tmp", "tmpfs", ""},
		{"shm", "/dev/shm", "tmpfs", ""},
		{"data", dataDir, "tmpfs", ""},
		{"huge", dataDir + "/shards-1", "hugetlbfs", "pagesize=2M"},
		{"bpf", "/sys/fs/bpf", "bpf", ""},
	} {
		if err := errors.Join(os.MkdirAll(m.target, 0o755), unix.Mount(m.source, m.target, m.kind, 0, m.options)); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	if err := loadModules("/modules"); err != nil {
		return err
	}
	if err := awaitLinks(); err != nil {
		return err
	}
	for _, device := range []string{serverDevice, clientDevice} {
		if err := oneQueue(device); err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("set %s to one queue: %w", device, err)
		}
	}
	if err := makeClientNamespace(); err != nil {
		return err
	}
	return configure(serverDevice, serverAddr)
}

// loadModules loads what the host put there, in the order of their names.
func loadModules(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("modules: %w", err)
	}
	sort.Slice(entries, func(i, k int) bool { return entries[i].Name() < entries[k].Name() })
	for _, e := range entries {
		if err := loadModule(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("module: %w", err)
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load module %s: %w", path, err)
	}
	return nil
}

// await polls until done, which says what it still waits for.
func await(limit time.Duration, done func() (bool, error)) error {
	var last error
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		ok, err := done()
		if ok {
			return nil
		}
		last = err
	}
	return fmt.Errorf("not within %v: %w", limit, last)
}

func awaitLinks() error {
	return await(30*time.Second, func() (bool, error) {
		_, err := netlink.LinkByName(serverDevice)
		_, other := netlink.LinkByName(clientDevice)
		return err == nil && other == nil, errors.Join(err, other)
	})
}

// clientNamespace is a file that names the client's network namespace.
const clientNamespace = "/tmp/client-ns"

// makeClientNamespace moves the second card into a namespace of its own.
func makeClientNamespace() error {
	if err := os.WriteFile(clientNamespace, nil, 0o600); err != nil {
		return fmt.Errorf("client namespace: %w", err)
	}
	err := space.OnOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		return unix.Mount("/proc/thread-self/ns/net", clientNamespace, "", unix.MS_BIND, "")
	})
	if err != nil {
		return fmt.Errorf("client namespace: %w", err)
	}
	ns, err := os.Open(clientNamespace)
	if err != nil {
		return fmt.Errorf("client namespace: %w", err)
	}
	defer ns.Close()
	link, err := netlink.LinkByName(clientDevice)
	if err == nil {
		err = netlink.LinkSetNsFd(link, int(ns.Fd()))
	}
	if err != nil {
		return fmt.Errorf("move %s: %w", clientDevice, err)
	}
	return inClient(func() error { return configure(clientDevice, clientAddr) })
}

func inClient(f func() error) error {
	return space.OnOwnThread(func() error {
		ns, err := os.Open(clientNamespace)
		if err != nil {
			return fmt.Errorf("client namespace: %w", err)
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the client namespace: %w", err)
		}
		return f()
	})
}

func configure(device, addr string) error {
	for _, name := range []string{"lo", device} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if name == device {
			parsed, err := netlink.ParseAddr(addr + "/24")
			if err == nil {
				err = errors.Join(netlink.AddrAdd(link, parsed), netlink.LinkSetMTU(link, linkMTU))
			}
			if err != nil {
				return fmt.Errorf("address of %s: %w", name, err)
			}
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("%s up: %w", name, err)
		}
	}
	return nil
}

func release() string {
	var u unix.Utsname
	_ = unix.Uname(&u)
	return unix.ByteSliceToString(u.Release[:])
}

// childrenOf lists the processes with a parent, by name.
func childrenOf(parent int, name string) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		var id, ppid int
		var command string
		var state byte
		_, _ = fmt.Sscanf(string(status), "%d %s %c %d", &id, &command, &state, &ppid)
		if ppid == parent && state != 'Z' && len(comm) > 1 && name[:min(15, len(name))] == string(comm[:len(comm)-1]) {
			pids = append(pids, pid)
		}
	}
	return pids
}
