package tuning_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gannet/tuning"
)

// inNamespace runs a test on a thread of its own, in a new network namespace that has a veth pair gnt-tune0 and
// gnt-tune1 with four queues each:
//
//	 a namespace without a name, with its own /sys
//	+----------------------------------+
//	| gnt-tune0 ======== gnt-tune1     |
//	+----------------------------------+
//
// The thread ends with the test, and the namespace with it.
func inNamespace(t *testing.T, do func(t *testing.T)) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := enterNamespace()
		defer func() { done <- err }() // also when the test ends its goroutine
		if err == nil {
			do(t)
		}
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func enterNamespace() error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	link := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "gnt-tune0", NumRxQueues: 4, NumTxQueues: 4},
		PeerName:  "gnt-tune1", PeerNumRxQueues: 4, PeerNumTxQueues: 4,
	}
	if err := netlink.LinkAdd(link); err != nil {
		return fmt.Errorf("add veth: %w", err)
	}
	for _, name := range []string{"gnt-tune0", "gnt-tune1"} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(l); err != nil {
			return err
		}
	}
	return nil
}

// realSnapshot reads everything of the interface that can be set, and the namespace's sysctls.
func realSnapshot(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, root := range []string{"/sys/class/net/gnt-tune0/", "/proc/sys/net/"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if d != nil && d.IsDir() && (d.Name() == "statistics" || d.Name() == "power") {
				return fs.SkipDir
			}
			if err != nil || !d.Type().IsRegular() || strings.HasPrefix(d.Name(), "carrier_") { // counters
				return err
			}
			data, err := os.ReadFile(path)
			fmt.Fprintf(&b, "%s: %q %v\n", path, data, err)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	kernel := tuning.Kernel{}
	channels, err1 := kernel.Channels("gnt-tune0")
	rings, err2 := kernel.Rings("gnt-tune0")
	coalesce, err3 := kernel.Coalesce("gnt-tune0")
	fmt.Fprintln(&b, channels, err1, rings, err2, coalesce, err3)
	for _, flag := range []string{"-k", "-l", "-g", "-c"} {
		out, _ := exec.Command("ethtool", flag, "gnt-tune0").CombinedOutput()
		fmt.Fprintf(&b, "ethtool %s\n%s", flag, out)
	}
	return b.String()
}

// veth is a plan for the pair, without what is the whole machine's.
func veth(role tuning.Role) *tuning.Options {
	return &tuning.Options{Role: role, NIC: "gnt-tune0", Only: []string{"nic", "net"}}
}

func TestVethApplyVerifyRevert(t *testing.T) {
	for _, role := range tuning.Roles() {
		t.Run(string(role), func(t *testing.T) {
			inNamespace(t, func(t *testing.T) {
				before, dir := realSnapshot(t), t.TempDir()
				done, err := tuning.Apply(tuning.This(), dir, veth(role))
				if err != nil {
					t.Error(err)
					return
				}
				set := map[string]bool{}
				for _, w := range done.Written {
					set[w.Knob] = true
				}
				if role == tuning.RoleDataplane {
					for _, knob := range []string{"nic.mtu", "nic.channels", "nic.defer_hard_irqs", "nic.gro_flush_timeout", "net.tcp_rto_min"} {
						if !set[knob] {
							t.Errorf("%s was not set; written: %v", knob, done.Written)
						}
					}
				}
				plan, err := tuning.Verify(tuning.This(), dir, veth(role))
				if err != nil || len(plan.Pending()) > 0 {
					t.Errorf("drift right after apply: %v %v", plan.Pending(), err)
				}
				if _, err := tuning.Revert(tuning.This(), dir); err != nil {
					t.Error(err)
				}
				if after := realSnapshot(t); before != after {
					t.Errorf("the namespace is not as it was: %s", firstDifference(before, after))
				}
			})
		})
	}
}

// A sysctl that cannot be set comes after other settings: these are put back.
func TestVethErrorRollsBack(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		before, o := realSnapshot(t), veth(tuning.RoleDataplane)
		host := tuning.This()
		host.Files = &failing{Files: host.Files, at: "/proc/sys/net/ipv4/tcp_ecn"}
		if _, err := tuning.Apply(host, t.TempDir(), o); err == nil || !strings.Contains(err.Error(), "has been put back") {
			t.Errorf("want an error that says what was put back, got %v", err)
		}
		if after := realSnapshot(t); before != after {
			t.Errorf("the namespace is not as it was: %s", firstDifference(before, after))
		}
	})
}

// failing refuses one file.
type failing struct {
	tuning.Files
	at string
}

func (f *failing) WriteFile(path string, data []byte) error {
	if path == f.at {
		return &fs.PathError{Op: "write", Path: path, Err: unix.EROFS}
	}
	return f.Files.WriteFile(path, data)
}
