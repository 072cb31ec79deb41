package tuning_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gannet/tuning"
	"gannet/tuning/tuningtest"
)

var update = flag.Bool("update", false, "write golden files, scripts and the reference anew")

// golden compares with a file under testdata, or writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasSuffix(path, ".sh") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(got), mode); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; write it with: go test ./tuning -update", err)
	}
	if got != string(want) {
		t.Errorf("%s differs (after a look, write it anew with: go test ./tuning -update):\n%s", path, firstDifference(string(want), got))
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return "want " + w[i] + "\ngot  " + g[i]
		}
	}
	return "one is longer than the other"
}

func machine(t *testing.T, name string) *tuningtest.Machine {
	t.Helper()
	spec, ok := tuningtest.Machines()[name]
	if !ok {
		t.Fatalf("no machine %s", name)
	}
	return tuningtest.New(spec)
}

func planOf(t *testing.T, m *tuningtest.Machine, o tuning.Options) *tuning.Plan {
	t.Helper()
	if o.NIC == "" {
		o.NIC = m.NIC.Name
	}
	p, err := tuning.MakePlan(m.Host(), &o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLayoutsOfKnownMachines(t *testing.T) {
	for _, name := range tuningtest.Names() {
		p := planOf(t, machine(t, name), tuning.Options{Role: tuning.RoleDataplane})
		golden(t, "testdata/layout/"+name+".txt", p.Layout.Picture(&p.Facts.Topology, p.Facts.NIC))
	}
}

func TestLayoutPutsShardsNearTheInterface(t *testing.T) {
	p := planOf(t, machine(t, "two-socket-mlx5"), tuning.Options{Role: tuning.RoleDataplane, Shards: 10})
	for _, cpu := range p.Facts.Topology.CPUs {
		if slices.Contains(p.Layout.Shards, cpu.ID) && cpu.Node != 1 {
			t.Errorf("shard on CPU %d of node %d, the interface is on node 1", cpu.ID, cpu.Node)
		}
	}
	if len(p.Layout.Notes) != 0 {
		t.Errorf("notes %q for a layout without a flaw", p.Layout.Notes)
	}
}

func TestLayoutOfSmallMachines(t *testing.T) {
	for _, c := range []struct {
		cores           int
		shards, control []int
		notes           int
	}{
		{1, []int{0}, []int{0}, 1},
		{2, []int{1}, []int{0}, 0},
		{4, []int{1, 2, 3}, []int{0}, 0},
	} {
		m := tuningtest.New(tuningtest.Spec{Sockets: 1, CoresSocket: c.cores, Threads: 1, MemoryGiB: 4})
		p, err := tuning.MakePlan(m.Host(), &tuning.Options{Role: tuning.RoleDataplane})
		if err != nil {
			t.Fatal(err)
		}
		l := p.Layout
		if !slices.Equal(l.Shards, c.shards) || !slices.Equal(l.Control, c.control) || len(l.Notes) != c.notes {
			t.Errorf("%d cores: %+v", c.cores, l)
		}
	}
}

// A configuration that has settled the shards' CPUs is followed: interrupts go beside them.
func TestLayoutFollowsSettledCPUs(t *testing.T) {
	p := planOf(t, machine(t, "two-socket-mlx5"), tuning.Options{Role: tuning.RoleDataplane, ShardCPUs: []int{20, 17, 18, 50}})
	l := p.Layout
	if !slices.Equal(l.Shards, []int{20, 17, 18, 50}) || !slices.Equal(l.IRQs, []int{52, 49, 18, 50}) || len(l.Control) != 64-6 {
		t.Errorf("%+v", l)
	}
	if len(l.Notes) != 1 || !strings.Contains(l.Notes[0], "CPUs 18 and 50 are threads of one core") {
		t.Errorf("notes %q", l.Notes)
	}
	for want, o := range map[string]tuning.Options{
		"make the numbers equal": {Shards: 3, ShardCPUs: []int{1, 2}},
		"CPU 99 of the shards":   {ShardCPUs: []int{1, 99}},
	} {
		o.Role = tuning.RoleDataplane
		if _, err := tuning.MakePlan(machine(t, "vm-virtio").Host(), &o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestLayoutRefusesWhatCannotBe(t *testing.T) {
	m := machine(t, "vm-virtio")
	for what, o := range map[string]tuning.Options{
		"4 shards need 5 cores": {Shards: 4},
		"CPU 9 is not there":    {Cores: []int{1, 9}},
		"cannot be placed":      {Shards: -1},
	} {
		o.Role = tuning.RoleDataplane
		if _, err := tuning.MakePlan(m.Host(), &o); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("want an error with %q, got %v", what, err)
		}
	}
}

// Whatever the machine: no CPU has two roles, but for interrupts without a second thread; every allowed one has a role;
// core 0 is the control process's.
func TestLayoutDealsEachCPUOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := tuningtest.Spec{
			Sockets: rapid.SampledFrom([]int{1, 2, 4}).Draw(t, "sockets"), CoresSocket: rapid.IntRange(1, 12).Draw(t, "cores"),
			Threads: rapid.IntRange(1, 4).Draw(t, "threads"), CoresCache: rapid.IntRange(0, 4).Draw(t, "cores a cache"), MemoryGiB: 8,
		}
		m := tuningtest.New(spec)
		o := &tuning.Options{Role: tuning.RoleGenerator}
		p, err := tuning.MakePlan(m.Host(), o)
		if err != nil {
			t.Fatal(err)
		}
		queues := rapid.IntRange(0, 64).Draw(t, "queues")
		l, err := tuning.NewLayout(&p.Facts.Topology, tuning.LayoutOptions{NICNode: rapid.IntRange(-1, spec.Sockets-1).Draw(t, "node"), Queues: queues})
		if err != nil {
			t.Fatal(err)
		}
		if len(l.Shards) == 0 || len(l.Shards) != len(l.IRQs) || queues > 0 && len(l.Shards) > queues {
			t.Fatalf("%d shards, %d interrupts, %d queues", len(l.Shards), len(l.IRQs), queues)
		}
		roles := map[int]int{}
		for _, cpu := range slices.Concat(l.Shards, l.Control, l.Idle) {
			roles[cpu]++
		}
		if spec.Threads > 1 {
			for _, cpu := range l.IRQs {
				roles[cpu]++
			}
		}
		single := spec.Sockets*spec.CoresSocket == 1
		for _, cpu := range p.Facts.Topology.CPUs {
			if n := roles[cpu.ID]; n != 1 && !single {
				t.Fatalf("CPU %d has %d roles in %+v", cpu.ID, n, l)
			}
		}
		if !single && slices.Contains(l.Shards, 0) {
			t.Fatalf("CPU 0 runs a shard: %+v", l)
		}
	})
}

func TestCPUListsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := slices.Compact(slices.Sorted(slices.Values(rapid.SliceOf(rapid.IntRange(0, 300)).Draw(t, "CPUs"))))
		got, err := tuning.ParseCPUs(tuning.FormatCPUs(want))
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v became %v: %v", want, got, err)
		}
	})
	for _, bad := range []string{"a", "3-1", "1-", "-", "1;2", "99999999999"} {
		if _, err := tuning.ParseCPUs(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
