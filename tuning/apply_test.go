package tuning_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gannet/tuning"
	"gannet/tuning/tuningtest"
)

// full is a plan with everything in it.
func full(m *tuningtest.Machine) *tuning.Options {
	return &tuning.Options{Role: tuning.RoleDataplane, NIC: m.NIC.Name, MemoryBytes: 8 << 30}
}

func apply(t *testing.T, m *tuningtest.Machine, dir string, o *tuning.Options) tuning.Done {
	t.Helper()
	done, err := tuning.Apply(m.Host(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func revert(t *testing.T, m *tuningtest.Machine, dir string) {
	t.Helper()
	if _, err := tuning.Revert(m.Host(), dir); err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, before, after string) {
	t.Helper()
	if before != after {
		t.Fatalf("the host is not as it was: %s", firstDifference(before, after))
	}
}

func TestPlansOfKnownMachines(t *testing.T) {
	for _, name := range tuningtest.Names() {
		m := machine(t, name)
		p := planOf(t, m, *full(m))
		golden(t, "testdata/plan/"+name+".txt", p.Table())
	}
	m := machine(t, "two-socket-ice")
	golden(t, "testdata/plan/client.txt", planOf(t, m, tuning.Options{Role: tuning.RoleClient}).Table())
}

func TestApplyVerifyRevert(t *testing.T) {
	for _, name := range tuningtest.Names() {
		for _, role := range tuning.Roles() {
			t.Run(name+"/"+string(role), func(t *testing.T) {
				m, dir := machine(t, name), t.TempDir()
				before := m.Snapshot()
				o := full(m)
				o.Role = role
				if done := apply(t, m, dir, o); len(done.Written) == 0 {
					t.Fatal("nothing was written")
				}
				plan, err := tuning.Verify(m.Host(), dir, o)
				if err != nil || len(plan.Pending()) > 0 {
					t.Fatalf("drift right after apply: %v %v", plan.Pending(), err)
				}
				if again := apply(t, m, dir, o); len(again.Written) > 0 {
					t.Fatalf("a second apply wrote %v", again.Written)
				}
				revert(t, m, dir)
				same(t, before, m.Snapshot())
				if _, err := os.Stat(filepath.Join(dir, "journal.jsonl")); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the journal is still there: %v", err)
				}
			})
		}
	}
}

func TestApplySetsWhatThePlanSays(t *testing.T) {
	m := machine(t, "two-socket-mlx5")
	apply(t, m, t.TempDir(), full(m))
	layout := planOf(t, m, *full(m)).Layout
	if m.NIC.Combined != len(layout.Shards) {
		t.Errorf("%d queues for %d shards", m.NIC.Combined, len(layout.Shards))
	}
	rules, _, _ := m.NIC.FlowRules(m.NIC.Name)
	if len(rules) != 2*len(layout.Shards) {
		t.Errorf("%d flow rules for %d shards", len(rules), len(layout.Shards))
	}
	for _, r := range rules {
		if int(r.Port) != 9800+r.Queue {
			t.Errorf("port %d goes to queue %d", r.Port, r.Queue)
		}
	}
	for queue, cpu := range layout.IRQs {
		if got := m.Get(fmt.Sprintf("/proc/irq/%d/smp_affinity_list", 120+queue)); got != fmt.Sprint(cpu) {
			t.Errorf("queue %d interrupts CPU %s, want %d", queue, got, cpu)
		}
	}
	balancer := m.Get("/etc/default/irqbalance")
	for _, want := range []string{"#IRQBALANCE_ONESHOT=", "--powerthresh=1", "--banirq=120", `IRQBALANCE_BANNED_CPULIST="`} {
		if !strings.Contains(balancer, want) {
			t.Errorf("irqbalance's settings have no %s:\n%s", want, balancer)
		}
	}
	if !slices.Contains(m.Runs, "systemctl try-restart irqbalance.service") {
		t.Errorf("irqbalance was not restarted: %q", m.Runs)
	}
	if got := m.Get("/sys/devices/system/cpu/cpu17/cpuidle/state3/disable"); got != "1" {
		t.Errorf("C6 of a shard's CPU: disable is %s", got)
	}
	if got := m.Get("/sys/devices/system/cpu/cpu0/cpuidle/state3/disable"); got != "0" {
		t.Errorf("C6 of CPU 0: disable is %s", got)
	}
}

// The process dies before or after each single change; revert then finds everything again. Killed in the middle of the
// revert as well, a second one ends it.
func TestCrashAnywhere(t *testing.T) {
	for name, spec := range map[string]tuningtest.Spec{"metal": tiny(), "virtual": tuningtest.Machines()["vm-virtio"]} {
		total := writesOf(t, spec)
		for k := range total + 1 {
			for _, after := range []bool{false, true} {
				m, dir := tuningtest.New(spec), t.TempDir()
				before := m.Snapshot()
				crash(m, k, after, func() { _, _ = tuning.Apply(m.Host(), dir, small(m)) })
				crash(m, k/2, after, func() { _, _ = tuning.Revert(m.Host(), dir) })
				if _, err := tuning.Revert(m.Host(), dir); err != nil {
					t.Fatalf("%s, crash at %d of %d: %v", name, k, total, err)
				}
				same(t, before, m.Snapshot())
			}
		}
	}
}

// tiny is a machine small enough to break at each single change, with everything that a large one has.
func tiny() tuningtest.Spec {
	s := tuningtest.Machines()["two-socket-mlx5"]
	s.Sockets, s.CoresSocket, s.MemoryGiB = 1, 3, 64
	s.NIC.Node, s.NIC.MaxCombined, s.NIC.Combined = 0, 4, 4
	return s
}

// writesOf counts the changes of an apply.
func writesOf(t *testing.T, spec tuningtest.Spec) int {
	t.Helper()
	m := tuningtest.New(spec)
	apply(t, m, t.TempDir(), small(m))
	return m.Writes
}

// small is a plan with few cores, of which every kind of setting still has one.
func small(m *tuningtest.Machine) *tuning.Options {
	o := full(m)
	o.Shards = 2
	return o
}

// crash runs something that dies at its change number k.
func crash(m *tuningtest.Machine, k int, after bool, do func()) {
	type died struct{}
	n := 0
	at := func(string) {
		if n++; n == k+1 {
			panic(died{})
		}
	}
	if after {
		m.Done = at
	} else {
		m.Fault = func(what string) error {
			at(what)
			return nil
		}
	}
	defer func() {
		m.Fault, m.Done = nil, nil
		if r := recover(); r != nil {
			if _, ok := r.(died); !ok {
				panic(r)
			}
		}
	}()
	do()
}

// An error at each single change: apply says which knob it was and leaves the host as it was, without a journal.
func TestErrorsRollBack(t *testing.T) {
	for k := range writesOf(t, tiny()) {
		m, dir := tuningtest.New(tiny()), t.TempDir()
		before := m.Snapshot()
		n := 0
		m.Fault = func(string) error {
			if n++; n == k+1 {
				return unix.EBUSY
			}
			return nil
		}
		_, err := tuning.Apply(m.Host(), dir, small(m))
		var knob *tuning.KnobError
		if !errors.As(err, &knob) || !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "--skip "+knob.Knob) {
			t.Fatalf("change %d: %v", k, err)
		}
		m.Fault = nil
		m.Runs = nil
		same(t, before, m.Snapshot())
		if data, _ := os.ReadFile(filepath.Join(dir, "journal.jsonl")); len(data) > 0 {
			t.Fatalf("change %d left a journal:\n%s", k, data)
		}
	}
}

func TestBadStates(t *testing.T) {
	fault := func(part string, err error) func(*tuningtest.Machine) {
		return func(m *tuningtest.Machine) {
			m.Fault = func(what string) error {
				if strings.Contains(what, part) {
					return err
				}
				return nil
			}
		}
	}
	for name, c := range map[string]struct {
		do   func(*tuningtest.Machine)
		want string
	}{
		"read-only sysfs": {fault("/sys/", unix.EROFS), "read-only: a container needs /sys"},
		"not root":        {fault("", unix.EPERM), "this needs root"},
		"busy queue":      {fault("channels", unix.EBUSY), "end the programs with AF_XDP sockets"},
		"no interface":    {func(m *tuningtest.Machine) { m.NIC.Name = "eth9" }, "there is no interface eth9 here"},
		"kernel clamps": {func(m *tuningtest.Machine) {
			m.Done = func(what string) {
				if strings.Contains(what, "hugepages-2048kB") {
					m.Set(what, 100)
				}
			}
		}, "the kernel made 100 of"},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine(t, "two-socket-ice")
			before := m.Snapshot()
			c.do(m)
			_, err := tuning.Apply(m.Host(), t.TempDir(), full(m))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("want an error with %q, got %v", c.want, err)
			}
			if name == "kernel clamps" {
				return // what the hook does to the way back, too, is no host's doing
			}
			same(t, before, m.Snapshot())
		})
	}
}

func TestWithoutEthtoolTheRestIsDone(t *testing.T) {
	spec := tuningtest.Machines()["two-socket-ice"]
	spec.NIC.NoEthtool = true
	m, dir := tuningtest.New(spec), t.TempDir()
	before := m.Snapshot()
	apply(t, m, dir, full(m))
	for _, c := range planOf(t, m, *full(m)).Changes {
		if c.Setting.Kind == tuning.KindChannels && (c.State != tuning.StateUnsupported || c.Reason != "not offered by the driver") {
			t.Errorf("channels: %s, %s", c.State, c.Reason)
		}
	}
	revert(t, m, dir)
	same(t, before, m.Snapshot())
}

// What a driver refuses only when it is asked to is no failure, and no drift.
func TestRefusalsAreRemembered(t *testing.T) {
	m, dir := machine(t, "two-socket-mlx5"), t.TempDir()
	before := m.Snapshot()
	m.Fault = func(what string) error {
		switch {
		case what == "coalesce":
			return unix.EOPNOTSUPP
		case strings.HasPrefix(what, "/proc/irq/"):
			return unix.EIO // the kernel manages it
		}
		return nil
	}
	if done := apply(t, m, dir, full(m)); len(done.Refused) < 2 {
		t.Fatalf("refused: %v", done.Refused)
	}
	plan, err := tuning.Verify(m.Host(), dir, full(m))
	if err != nil || len(plan.Pending()) > 0 {
		t.Fatalf("drift: %v %v", plan.Pending(), err)
	}
	m.Fault = nil
	revert(t, m, dir)
	same(t, before, m.Snapshot())
}

func TestVerifyFindsDrift(t *testing.T) {
	m, dir := machine(t, "two-socket-mlx5"), t.TempDir()
	apply(t, m, dir, full(m))
	m.Set("/proc/sys/net/core/rmem_max", 4096)
	plan, err := tuning.Verify(m.Host(), dir, full(m))
	if err != nil || len(plan.Pending()) != 1 || plan.Pending()[0].Now != "4096" {
		t.Fatalf("%v %v", plan.Pending(), err)
	}
}

func TestIrqbalanceWithoutSystemd(t *testing.T) {
	m := machine(t, "two-socket-mlx5")
	m.Delete("/run/systemd")
	for _, c := range planOf(t, m, *full(m)).Changes {
		if c.Knob.Name == "irq.balance" && (c.State != tuning.StateLeft || !strings.Contains(c.Reason, "process 812")) {
			t.Errorf("%s: %s", c.State, c.Reason)
		}
	}
}

// Interrupts are found by name when their numbers have changed.
func TestInterruptsWithNewNumbers(t *testing.T) {
	spec := tuningtest.Machines()["two-socket-mlx5"]
	spec.NIC.Renumber = true
	m, dir := tuningtest.New(spec), t.TempDir()
	m.Set("/proc/irq/150/smp_affinity_list", "7") // of queue 30, which goes and comes back
	apply(t, m, dir, small(m))
	revert(t, m, dir)
	found := false
	for _, p := range m.Paths("/proc/irq/") {
		found = found || m.Get(p) == "7"
	}
	if !found {
		t.Error("the interrupt of queue 30 has lost its CPU")
	}
}

// A table that somebody has set by hand comes back as it was, although queues went and came.
func TestTableOfQueuesComesBack(t *testing.T) {
	m, dir := machine(t, "two-socket-mlx5"), t.TempDir()
	table := make([]uint32, 256)
	for i := range table {
		table[i] = uint32(i/5) % 60
	}
	m.NIC.SetTable(table)
	m.NIC.SetRules(tuning.FlowRule{Port: 53, Queue: 1, Location: 1023, Exact: true}, tuning.FlowRule{Port: 9801, Queue: 0, Location: 4, Exact: true})
	before := m.Snapshot()
	apply(t, m, dir, small(m))
	revert(t, m, dir)
	same(t, before, m.Snapshot())
}

func TestRebootForgetsWhatItUndid(t *testing.T) {
	m, dir := machine(t, "two-socket-mlx5"), t.TempDir()
	fresh := m.Snapshot()
	apply(t, m, dir, full(m))
	// After a boot the kernel's values are new; files on the disk are not.
	booted := machine(t, "two-socket-mlx5")
	for _, path := range []string{"/etc/default/irqbalance", "/etc/security/limits.d/gannet.conf"} {
		booted.Set(path, m.Get(path))
	}
	booted.Set("/proc/sys/kernel/random/boot_id", "another")
	apply(t, booted, dir, full(booted))
	revert(t, booted, dir)
	booted.Set("/proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555")
	same(t, fresh, booted.Snapshot())
}

func TestJournalTornAndDamaged(t *testing.T) {
	m, dir := machine(t, "vm-virtio"), t.TempDir()
	before := m.Snapshot()
	apply(t, m, dir, full(m))
	path := filepath.Join(dir, "journal.jsonl")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(data, `{"boot_id":"x","kn`...), 0o600); err != nil {
		t.Fatal(err)
	}
	revert(t, m, dir)
	same(t, before, m.Snapshot())

	if err := os.WriteFile(path, append([]byte("nonsense\n"), data...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tuning.Revert(m.Host(), dir); err == nil || !strings.Contains(err.Error(), "line 1 of") {
		t.Errorf("a damaged journal: %v", err)
	}
}

func TestAnotherNamespace(t *testing.T) {
	m, dir := machine(t, "two-socket-mlx5"), t.TempDir()
	m.Link("/proc/thread-self/ns/net", "net:[4026539999]")
	for _, w := range apply(t, m, dir, full(m)).Written {
		if !strings.HasPrefix(w.Knob, "nic.") && !strings.HasPrefix(w.Knob, "net.") && w.Knob != "memory.memlock" && w.Knob != "irq.balance" {
			t.Errorf("%s was set from within another namespace", w.Knob)
		}
	}
	m.Link("/proc/thread-self/ns/net", "net:[4026531840]")
	if _, err := tuning.Revert(m.Host(), dir); err == nil || !strings.Contains(err.Error(), "run revert there") {
		t.Errorf("revert in another namespace: %v", err)
	}
}

func TestTwoAtATime(t *testing.T) {
	m, dir := machine(t, "vm-virtio"), t.TempDir()
	m.Done = func(string) {
		m.Done = nil
		if _, err := tuning.Revert(m.Host(), dir); err == nil || !strings.Contains(err.Error(), "another gannet tune") {
			t.Errorf("a second run at the same time: %v", err)
		}
	}
	apply(t, m, dir, full(m))
}
