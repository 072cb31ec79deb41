package imports

import (
	"encoding/json"
	"io"
	"os/exec"
	"path"
	"strings"
	"testing"
)

const module = "gannet/"

// grants says which packages of this module a package may import. A trailing /…
// stands for the folder and all below. Everything may import its own subfolders'
// parents only when listed.
var grants = map[string][]string{
	"checksum":                   {},
	"ring":                       {},
	"ring/ringcheck":             {"ring"},
	"alloc":                      {},
	"bpf":                        {},
	"config":                     {},
	"dataplane/port":             {},
	"tuning":                     {},
	"tuning/tuningtest":          {"tuning"},
	"wire":                       {"checksum"},
	"shard":                      {"alloc", "checksum", "shard/evict"},
	"shard/evict":                {"alloc"},
	"shard/evict/evicttest":      {"shard/evict", "alloc"},
	"shard/shardcheck":           {"alloc", "checksum", "shard", "shard/evict"},
	"board":                      {"alloc"},
	"security":                   {"wire"},
	"security/mtls":              {},
	"replication":                {"ring", "replication/…"},
	"replication/internal/plant": {},
	"replication/transport":      {"board", "replication", "ring", "wire", "security/mtls", "control/api"},
	"replication/simtest":        {"ring", "replication", "replication/…", "control", "client"},
	"dataplane/xsk":              {"dataplane/port", "alloc", "bpf", "checksum"},
	"dataplane/udp":              {"dataplane/port", "alloc", "bpf", "checksum"},
	"dataplane/porttest":         {"dataplane/port", "alloc", "bpf", "checksum"},
	"dataplane":                  {"dataplane/port", "wire", "shard", "board", "ring", "security", "checksum"},
	"control":                    {"ring", "board", "replication", "replication/transport", "control/…", "security", "security/mtls", "bpf", "wire", "config"},
	"control/gossip":             {},
	"control/invalidate":         {},
	"control/api":                {"control/invalidate", "ring", "security/mtls"},
	"client":                     {"wire", "ring", "security", "security/mtls", "checksum"},
	"client/examples/sqlcache":   {"client"},
	"control/pacing":             {"board"},
	"client/clienttest":          {"client", "wire", "ring", "security", "checksum"},
	"gateway":                    {"client", "security/mtls"},
	"loadgen":                    {"client", "wire", "shard", "alloc", "bpf", "dataplane/xsk", "loadgen/…"},
	"loadgen/trace":              {},
	"loadgen/synthetic":          {"loadgen/trace"},
	"loadgen/wirefuzz":           {"wire", "checksum"},
	"loadgen/bench":              {"alloc", "checksum", "dataplane/xsk", "loadgen/synthetic", "loadgen/values", "wire"},
	"loadgen/values":             {},
	"cmd/gannet":                 {"…"},
	"cmd/gannet-dataplane":       {"config", "board", "bpf", "alloc", "shard", "security", "ring", "wire", "dataplane", "dataplane/…"},
	"test/…":                     {"…"},
}

// testOnly may be imported by tests and by the test tree alone.
var testOnly = []string{"dataplane/porttest", "client/clienttest", "shard/evict/evicttest", "tuning/tuningtest"}

// forbidden are modules that the privileged process must not link.
var forbidden = []string{"go.etcd.io/", "google.golang.org/grpc", "github.com/hashicorp/memberlist", "net/http", "github.com/prometheus/"}

type listed struct {
	ImportPath string
	Imports    []string
}

func goList(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// grantsOf finds the entry for a package: its own, or the nearest folder's /… one.
func grantsOf(name string) ([]string, bool) {
	if g, ok := grants[name]; ok {
		return g, true
	}
	for dir := name; dir != "."; dir = path.Dir(dir) {
		if g, ok := grants[dir+"/…"]; ok {
			return g, true
		}
	}
	return nil, false
}

func granted(grant []string, name string) bool {
	for _, g := range grant {
		if g == "…" || g == name {
			return true
		}
		if dir, all := strings.CutSuffix(g, "…"); all && strings.HasPrefix(name, dir) {
			return true
		}
	}
	return false
}

func TestImportsFollowTheTable(t *testing.T) {
	packages := goList(t, "./...")
	if len(packages) < 15 {
		t.Fatalf("go list found %d packages: the table would prove nothing", len(packages))
	}
	for _, p := range packages {
		name := strings.TrimPrefix(p.ImportPath, module)
		grant, ok := grantsOf(name)
		if !ok {
			t.Errorf("package %s has no line in the table: say what it may import", name)
			continue
		}
		for _, imported := range p.Imports {
			ours, is := strings.CutPrefix(imported, module)
			if !is {
				continue
			}
			if !granted(grant, ours) {
				t.Errorf("%s imports %s: the table does not grant it", name, ours)
			}
			for _, fake := range testOnly {
				if ours == fake && !strings.HasPrefix(name, "test/") {
					t.Errorf("%s imports the fake %s outside of tests", name, ours)
				}
			}
		}
	}
}

func TestEveryGrantNamesAPackage(t *testing.T) {
	exists := map[string]bool{}
	for _, p := range goList(t, "./...") {
		exists[strings.TrimPrefix(p.ImportPath, module)] = true
	}
	for name := range grants {
		if !strings.HasSuffix(name, "…") && !exists[name] {
			t.Errorf("the table has a line for %s, which does not exist", name)
		}
	}
}

func TestDataplaneLinksNothingHeavy(t *testing.T) {
	packages := goList(t, "-deps", "./cmd/gannet-dataplane")
	if len(packages) < 50 {
		t.Fatalf("go list -deps found %d packages", len(packages))
	}
	for _, p := range packages {
		for _, bad := range forbidden {
			if strings.HasPrefix(p.ImportPath, bad) {
				t.Errorf("the data plane links %s", p.ImportPath)
			}
		}
	}
}
