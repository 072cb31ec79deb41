package tuning_test

import (
	"errors"
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
	if _, err := exec.LookPath("ethtool"); err != nil {
		t.Skip("ethtool is missing: apt-get install ethtool")
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

// Our ioctls and ethtool(8), which asks by netlink, must be of one mind.
func TestKernelAgreesWithEthtool(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		kernel := tuning.Kernel{}
		driver, err := kernel.Driver("gnt-tune0")
		if err != nil || driver.Name != "veth" {
			t.Errorf("driver %+v: %v", driver, err)
		}
		for _, want := range []tuning.Channels{{RX: 2, TX: 3}, {RX: 4, TX: 4}} {
			if err := kernel.SetChannels("gnt-tune0", want); err != nil {
				t.Error(err)
			}
			out, _ := exec.Command("ethtool", "-l", "gnt-tune0").Output()
			_, current, _ := strings.Cut(string(out), "Current hardware settings:")
			if f := strings.Fields(current); len(f) < 4 || f[1] != fmt.Sprint(want.RX) || f[3] != fmt.Sprint(want.TX) {
				t.Errorf("set %v, ethtool says %v", want, f)
			}
		}
		for _, on := range []bool{false, true} {
			if err := kernel.SetFeature("gnt-tune0", "rx-gro", on); err != nil {
				t.Error(err)
			}
			got, err := kernel.Feature("gnt-tune0", "rx-gro")
			if err != nil || got.On != on || got.Fixed {
				t.Errorf("set rx-gro %v, got %+v: %v", on, got, err)
			}
			out, _ := exec.Command("ethtool", "-k", "gnt-tune0").Output()
			if want := map[bool]string{true: "on", false: "off"}[on]; !strings.Contains(string(out), "generic-receive-offload: "+want+"\n") {
				t.Errorf("set rx-gro %v, ethtool says otherwise:\n%s", on, out)
			}
		}
		if f, err := kernel.Feature("gnt-tune0", "rx-ntuple-filter"); err == nil && !f.Fixed {
			t.Errorf("veth is said to have flow rules: %+v", f)
		}
		for name, err := range map[string]error{
			"moderation": second(kernel.Coalesce("gnt-tune0")),
			"tables":     second(kernel.RSS("gnt-tune0")),
		} {
			if !errors.Is(err, tuning.ErrUnsupported) {
				t.Errorf("%s of veth: %v, want unsupported", name, err)
			}
		}
		if _, err := kernel.Channels("nosuch0"); !errors.Is(err, unix.ENODEV) {
			t.Errorf("an interface that is not there: %v", err)
		}
	})
}

func second[T any](_ T, err error) error { return err }
