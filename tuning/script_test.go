package tuning_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gannet/tuning"
	"gannet/tuning/tuningtest"
)

func TestScriptsAreCurrent(t *testing.T) {
	for _, group := range tuning.Groups() {
		golden(t, group+".sh", tuning.GroupScript(group))
	}
	m := machine(t, "two-socket-mlx5")
	p := planOf(t, m, tuning.Options{Role: tuning.RoleDataplane, Shards: 2, MemoryBytes: 1 << 30})
	golden(t, "testdata/plan/two-socket-mlx5.sh", p.Script())
}

// Each knob is in exactly one group's script, under its name.
func TestScriptsHaveAllKnobs(t *testing.T) {
	for _, k := range tuning.Knobs() {
		if n := strings.Count(tuning.GroupScript(k.Group), "\n# "+k.Name+": "); n != 1 {
			t.Errorf("%s is %d times in %s.sh", k.Name, n, k.Group)
		}
	}
}

func TestScriptsAreShell(t *testing.T) {
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("shellcheck is missing: apt-get install shellcheck")
	}
	files := []string{}
	for _, group := range tuning.Groups() {
		files = append(files, group+".sh")
	}
	dir := t.TempDir()
	for _, name := range tuningtest.Names() {
		m := machine(t, name)
		path := filepath.Join(dir, name+".sh")
		if err := os.WriteFile(path, []byte(planOf(t, m, *full(m)).Script()), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	if out, err := exec.Command(shellcheck, files...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// shell runs a script on the calling thread's namespace.
func shell(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command("sh", args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("sh %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// The script that plan prints does what apply does: verify finds no drift. And its revert what revert does.
func TestVethPlanScript(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		before, dir := realSnapshot(t), t.TempDir()
		o := veth(tuning.RoleDataplane)
		script := filepath.Join(dir, "tune.sh")
		write := func(path string) {
			plan, err := tuning.MakePlan(tuning.This(), o)
			if err != nil {
				t.Error(err)
				return
			}
			if err := os.WriteFile(path, []byte(plan.Script()), 0o600); err != nil {
				t.Error(err)
			}
		}
		write(script)
		shell(t, nil, script, "apply")
		plan, err := tuning.Verify(tuning.This(), dir, o)
		if err != nil || len(plan.Pending()) > 0 {
			t.Errorf("the script left: %v %v", plan.Pending(), err)
		}
		shell(t, nil, script, "revert")
		if after := realSnapshot(t); before != after {
			t.Errorf("the namespace is not as it was: %s", firstDifference(before, after))
		}
	})
}

// The scripts for hosts without Gannet: what they set, verify takes for good; what they undo is as it was.
func TestVethGroupScripts(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		before, dir := realSnapshot(t), t.TempDir()
		o := veth(tuning.RoleDataplane)
		layout, err := tuning.MakePlan(tuning.This(), o)
		if err != nil {
			t.Error(err)
			return
		}
		cpus := []string{}
		for _, cpu := range layout.Layout.Shards {
			cpus = append(cpus, tuning.FormatCPUs([]int{cpu}))
		}
		env := []string{"NIC=gnt-tune0", "MTU=9000", "STATE=" + dir, "SHARD_CPUS=" + strings.Join(cpus, " ")}
		for _, group := range o.Only {
			planned := shell(t, env, group+".sh", "plan")
			if applied := shell(t, env, group+".sh", "apply"); planned != applied {
				t.Errorf("%s.sh plan says\n%sand apply does\n%s", group, planned, applied)
			}
		}
		plan, err := tuning.Verify(tuning.This(), dir, o)
		if err != nil || len(plan.Pending()) > 0 {
			t.Errorf("the scripts left: %v %v", plan.Pending(), err)
		}
		for _, group := range o.Only {
			shell(t, env, group+".sh", "revert")
		}
		if after := realSnapshot(t); before != after {
			t.Errorf("the namespace is not as it was: %s", firstDifference(before, after))
		}
	})
}
