package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMain lets the test's own binary be what is copied to the client.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == verbOffer {
		if err := runOffer(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestLab goes through every step on two namespaces: copying, checks, MTU, both
// datapaths, sweep, profile, and leaves nothing behind.
func TestLab(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skipf("missing ip, package iproute2: %v", err)
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "./cmd/gannet", "./cmd/gannet-dataplane")
	build.Dir = "../.." // another module
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	inv, err := parseInventory(labInventory)
	if err != nil {
		t.Fatal(err)
	}
	_, err = exec.LookPath("perf")
	inv.Perf = err == nil
	inv.MostRate, inv.Steps, inv.MTUs = 2000, 1, []int{3498} // any machine can do that
	record, err := run(t.Context(), inv, bin, true, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	record.print(os.Stderr)
	if len(record.Hosts) != 2 || len(record.Outcomes) != 2 {
		t.Fatalf("%d hosts, %d outcomes", len(record.Hosts), len(record.Outcomes))
	}
	for _, o := range record.Outcomes {
		if o.Rung != o.Datapath.Expect || len(o.Steps) != 1 {
			t.Errorf("%s: rung %s, %d steps: %s", &o.testCase, o.Rung, len(o.Steps), o.Void)
			continue
		}
		if o.Steps[0].Rate < 500 || inv.Perf != strings.Contains(o.Profile, "%") {
			t.Errorf("%s: %+v, profile %q", &o.testCase, o.Steps[0], o.Profile)
		}
	}
	if left, _ := filepath.Glob("/tmp/gannet-100gbe.*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	path := filepath.Join(t.TempDir(), "x", "100gbe.json")
	if err := record.write(path); err != nil {
		t.Error(err)
	}
}

func TestExampleInventoryIsValid(t *testing.T) {
	inv, err := readInventory("inventory.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := len(inv.cases()); got != 2*2*2*3 {
		t.Errorf("%d cases", got)
	}
}

func TestInventoryRefusesNonsense(t *testing.T) {
	good, err := os.ReadFile("inventory.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		"link_gbit: 100":     "link_gbit: 0",
		"steps: 20":          "steps: 0",
		"mtus: [1500, 9000]": "mtus: []",
		"192.0.2.1":          "cache-1",
		"interface: ens1f0":  "interface: ''",
		"server_cpus: 2-17":  "server_cpus: 17-2",
		"datapath: udp":      "datapath: tcp",
		"write_ratio: 0.05":  "write_ratio: 5",
		"perf: true":         "prof: true",
	} {
		bad := strings.Replace(string(good), from, to, 1)
		if bad == string(good) {
			t.Errorf("the example has no %q", from)
		} else if _, err := parseInventory([]byte(bad)); err == nil {
			t.Errorf("%q was taken", to)
		}
	}
}

func TestCPUList(t *testing.T) {
	got, err := cpuList("2-4,8, 10-10")
	if err != nil || !slices.Equal(got, []int{2, 3, 4, 8, 10}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "x", "4-2", "-1", "1-99999"} {
		if got, err := cpuList(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

// TestLineRate: at 100 Gbit/s a reply of 1,024 B takes 64 + 48 + 1,024 B of payload, 28
// of headers and 38 of framing: 10.4 million a second.
func TestLineRate(t *testing.T) {
	c := testCase{MTU: 1500, Workload: Workload{ValueBytes: 1024, KeysPerRequest: 1}}
	if got := c.replyLinkBytes(); got != 1202 {
		t.Errorf("%v bytes", got)
	}
	if got := c.lineRate(100); got < 10.39e6 || got > 10.40e6 {
		t.Errorf("%v a second", got)
	}
	// 16 values of 100 B are 16 × 152 B: two datagrams at MTU 1500, one at 9000.
	many := testCase{MTU: 1500, Workload: Workload{ValueBytes: 100, KeysPerRequest: 16}}
	if got := many.replyLinkBytes(); got != 16*152+2*(64+66) {
		t.Errorf("%v bytes", got)
	}
	many.MTU = 9000
	if got := many.replyLinkBytes(); got != 16*152+64+66 {
		t.Errorf("%v bytes", got)
	}
}

func TestQuote(t *testing.T) {
	words := []string{"plain", "two words", "it's", "$HOME `x` \\ \"", ""}
	out, err := exec.Command("sh", "-c", "printf '%s\\n' "+quote(words...)).Output()
	if err != nil || string(out) != strings.Join(words, "\n")+"\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// TestCheckRefuses: what stands in the way is told before anything starts.
func TestCheckRefuses(t *testing.T) {
	inv, err := readInventory("inventory.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f := HostFacts{Name: "server", CPUs: 8, SpeedMbit: 25_000, Pending: 3, KernelFault: []string{"loses frames"}}
	f.judge(inv)
	for _, want := range []string{"25000 Mbit/s", "3 settings", "loses frames", "CPU 8 of 8", "CPU 34 of 8"} {
		if !slices.ContainsFunc(f.Problems, func(p string) bool { return strings.Contains(p, want) }) {
			t.Errorf("nothing about %q in %q", want, f.Problems)
		}
	}
	inv.Checks.Strict = false
	inv.Layouts = inv.Layouts[:1]
	fine := HostFacts{Name: "client", CPUs: 64, SpeedMbit: 100_000, Pending: 3}
	if fine.judge(inv); len(fine.Problems) > 0 {
		t.Errorf("%q", fine.Problems)
	}
}

// TestVoidCasesFail: what could not be measured is shown, and makes the run fail.
func TestVoidCasesFail(t *testing.T) {
	r := &Record{Outcomes: []*Outcome{{Rung: "xdp-copy", Void: "the node took xdp-copy"}, {Rung: "udp", Highest: 5, LineRate: 10}}}
	var out bytes.Buffer
	r.print(&out)
	if r.verdict() == nil || !strings.Contains(out.String(), "void: the node took xdp-copy") || !strings.Contains(out.String(), "50.0 %") {
		t.Errorf("%v\n%s", r.verdict(), &out)
	}
}
