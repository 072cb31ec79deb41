package config

import (
	"bytes"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDefaultsAreValid(t *testing.T) {
	l, err := Load(Input{})
	if err != nil {
		t.Fatal(err)
	}
	if l.DataPort != 9800 || l.Admin.String() != "127.0.0.1:9743" || l.Memory != 1<<30 || l.DataDir != "/dev/shm/gannet-gannet" || l.NodeID == 0 {
		t.Errorf("%+v", l.Config)
	}
	if len(l.Settings) != len(Keys()) {
		t.Errorf("%d settings for %d keys", len(l.Settings), len(Keys()))
	}
}

// good has another valid text than the default for every key.
var good = map[string]string{
	"node-name": "cache-1", "node-id": "17", "data-dir": "/dev/shm/x", "listen": "10.0.0.7", "data-port": "9900",
	"interface": "eth1", "datapath": "udp", "shards": "2", "cpus": "1,3", "spin": "5us", "frames": "512", "memory": "64MiB",
	"policy": "lru", "max-value": "64KiB", "growth": "1.25", "hugepages": "never", "hot-keys": "on", "lease": "1s", "allow": "10.0.0.0/8",
	"source-rate": "1000", "source-burst": "10", "heartbeat": "10ms", "dead-man": "50ms", "watchdog": "100ms",
	"admin": "127.0.0.1:0", "etcd-endpoints": "http://10.0.0.1:2379", "etcd-embed": "false", "etcd-dir": "/dev/shm/e",
	"etcd-client-url": "http://127.0.0.1:1", "etcd-peer-url": "http://127.0.0.1:2", "dataplane-binary": "/bin/x",
	"log-level": "debug", "log-format": "json",
	"advertise": "10.0.0.7", "expect-nodes": "3", "repair-rate": "20MB", "partition-writes": "accept",
	"control-port": "0", "gossip-port": "9999", "zone": "rack-7", "weight": "4", "replicas": "3", "seeds": "10.0.0.2:9742,cache-3:9742",
	"gossip-key-file": "/etc/gannet/gossip.keys", "tls-cert": "/c.pem", "tls-key": "/k.pem", "tls-ca": "/a.pem", "tls-crl": "/r.crl",
}

// TestEveryKeyFromEveryPlace sets each key by file, variable and flag, and looks at
// the value and the place that are reported.
func TestEveryKeyFromEveryPlace(t *testing.T) {
	for _, k := range Keys() {
		value, ok := good[k.Name]
		if !ok {
			t.Errorf("%s: give it a value in this test", k.Name)
			continue
		}
		file := filepath.Join(t.TempDir(), "gannet.yaml")
		if err := os.WriteFile(file, []byte(k.Name+": \""+value+"\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		base := map[string]string{}
		if k.Name == "listen" || k.Name == "interface" {
			base = map[string]string{"datapath": "udp"}
		}
		if strings.HasPrefix(k.Name, "tls-") {
			base = map[string]string{"tls-cert": "/1", "tls-key": "/2", "tls-ca": "/3"}
			delete(base, k.Name)
		}
		with := map[string]string{k.Name: value}
		for n, v := range base {
			with[n] = v
		}
		for kind, in := range map[SourceKind]Input{
			FromFile:     {File: file, Flags: base},
			FromVariable: {Environ: []string{k.Variable() + "=" + value}, Flags: base},
			FromFlag:     {Flags: with},
		} {
			l, err := Load(in)
			if err != nil {
				t.Errorf("%s: %v", k.Name, err)
				continue
			}
			i := slices.IndexFunc(l.Settings, func(s Setting) bool { return s.Key.Name == k.Name })
			if s := l.Settings[i]; s.Source.Kind != kind || s.Value != k.normal(t, value) {
				t.Errorf("%s: %q from %s, want %q from kind %d", k.Name, s.Value, s.Source, value, kind)
			}
		}
	}
}

func (k *Key) normal(t *testing.T, value string) string {
	t.Helper()
	var c Config
	if err := k.set(&c, value); err != nil {
		t.Fatal(err)
	}
	return k.get(&c)
}

func TestStrongerPlaceWins(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gannet.yaml")
	if err := os.WriteFile(file, []byte("memory: 2GiB\nspin: 1us\npolicy: lru\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Load(Input{
		File: file, Environ: []string{"GANNET_MEMORY=3GiB", "GANNET_SPIN=2us", "OTHER=1"},
		Flags: map[string]string{"memory": "4GiB"}, Defaults: map[string]string{"policy": "default", "shards": "1"}, Owner: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	if l.Memory != 4<<30 || l.Spin != 2*time.Microsecond || l.Policy != "lru" || l.Shards != 1 {
		t.Errorf("%+v", l.Config)
	}
	args := l.FlagArgs(ScopeDataplane)
	want := []string{"--config=" + file, "--shards=1", "--memory=4GiB"}
	if !slices.Equal(args, want) {
		t.Errorf("arguments for the data plane: %q, want %q", args, want)
	}
	again, err := ParseFlags("x", args, []string{"GANNET_SPIN=2us"}, ScopeDataplane, nil)
	if err != nil || again.Hash() != l.Hash() {
		t.Errorf("the data plane understands them otherwise: %v", err)
	}
}

func TestWrongValues(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"memory", "3G", "write 3GiB (powers of 1024) or 3GB"},
		{"memory", "-1GiB", "out of range"},
		{"memory", "many", "is not a size"},
		{"memory", "1KiB", "is too small; write 4MiB or more"},
		{"max-value", "2MiB", "from 1KiB to 1MiB"},
		{"spin", "20", "has no unit; write e.g. 20ms or 20s"},
		{"spin", "-1ms", "is negative"},
		{"heartbeat", "1h", "from 1ms to 50ms"},
		{"cpus", "1-", "is not a CPU list"},
		{"cpus", "1,1", "names CPU 1 twice"},
		{"cpus", "3-1", "is not a CPU list"},
		{"listen", "host", "is not an IP address"},
		{"listen", "10.0.0.1:9800", "set data-port to 9800"},
		{"data-port", "0", "from 1 to 65535"},
		{"frames", "3000", "power of two"},
		{"policy", "lur", "did you mean lru?"},
		{"datapath", "dpdk", "is not one of auto, xdp, udp"},
		{"growth", "0.9", "from 1.01 to 2"},
		{"growth", "NaN", "from 1.01 to 2"},
		{"allow", "10.0.0.0/8,10.0.0.0/99", `"10.0.0.0/99"`},
		{"admin", "9743", "address and port"},
		{"etcd-endpoints", "10.0.0.1:2379", "http://HOST:PORT"},
		{"etcd-embed", "maybe", "true or false"},
		{"data-dir", "data", "absolute"},
		{"node-name", "a b", "is not a name"},
		{"node-name", "../x", "is not a name"},
		{"interface", "a/b", "ip link"},
		{"log-level", "inof", "did you mean info?"},
		{"control-port", "65536", "from 0 to 65535"},
		{"zone", "a b", "is not a name"},
		{"replicas", "0", "from 1 to 8"},
		{"replicas", "9", "from 1 to 8"},
		{"seeds", "10.0.0.2", "write e.g. 10.0.0.2:9742"},
		{"seeds", "h:1,:9742", `":9742" that is not host:port`},
		{"seeds", "h:0", "is not host:port"},
	} {
		_, err := Load(Input{Flags: map[string]string{c.key: c.value}})
		var wrong *ValueError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "--"+c.key) {
			t.Errorf("%s=%s: %v, want %q", c.key, c.value, err, c.want)
		}
	}
}

func TestConflicts(t *testing.T) {
	for name, flags := range map[string]map[string]string{
		"shards and cpus":                 {"shards": "2", "cpus": "1"},
		"datapath and interface":          {"datapath": "xdp"},
		"listen and interface":            {"interface": "eth1"},
		"data-port and shards":            {"data-port": "65535", "shards": "2"},
		"dead-man and heartbeat":          {"dead-man": "20ms"},
		"watchdog and heartbeat":          {"watchdog": "50ms", "heartbeat": "50ms"},
		"etcd-embed and etcd-endpoints":   {"etcd-embed": "true", "etcd-endpoints": "http://h:1"},
		"memory and shards":               {"memory": "8MiB", "shards": "4"},
		"control-port and gossip-port":    {"control-port": "9742"},
		"tls-cert and tls-key and tls-ca": {"tls-cert": "/c", "tls-ca": "/a"},
	} {
		_, err := Load(Input{Flags: flags})
		var conflict *ConflictError
		if !errors.As(err, &conflict) || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnknownNamesAndForeignVariables(t *testing.T) {
	_, err := Load(Input{Environ: []string{"GANNET_MEMROY=1GiB"}, Flags: map[string]string{"polcy": "lru", "zzzzzzzz": "1"}})
	for _, want := range []string{
		"unknown variable GANNET_MEMROY; did you mean GANNET_MEMORY?",
		"unknown flag --polcy; did you mean --policy?", "unknown flag --zzzzzzzz; see `gannet config`",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v misses %q", err, want)
		}
	}
	// What Kubernetes injects for a service called gannet is not ours.
	_, err = Load(Input{Environ: []string{
		"GANNET_PORT=tcp://10.0.0.1:9800", "GANNET_SERVICE_HOST=10.0.0.1",
		"GANNET_CONTROL_PORT=tcp://10.0.0.1:9741", "GANNET_CONTROL_SERVICE_HOST=10.0.0.1", "GANNET_CONTROL_SERVICE_PORT_RING=9741",
		"GANNET_CONTROL_PORT_9741_TCP_ADDR=10.0.0.1", "GANNET_CONTROL_PORT_9741_TCP=tcp://10.0.0.1:9741",
		"GANNET_PORT_9800_UDP_ADDR=10.0.0.1", "GANNET_SERVER=h", "GANNET_MEMORY=",
	}})
	if err != nil {
		t.Errorf("foreign variables: %v", err)
	}
	if _, err := Load(Input{Environ: []string{"GANNET_CONTROL_PORT=many"}}); err == nil {
		t.Error("a wrong value of our own was taken for a foreign one")
	}
}

func TestParseFlags(t *testing.T) {
	var out bytes.Buffer
	if _, err := ParseFlags("gannet-dataplane", []string{"--help"}, nil, ScopeDataplane, &out); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("help: %v", err)
	}
	if !strings.Contains(out.String(), "--memory") || strings.Contains(out.String(), "--etcd-dir") {
		t.Errorf("help has other flags than its own:\n%s", out.String())
	}
	for args, want := range map[string]string{
		"--memroy=1GiB":     "did you mean --memory?",
		"--etcd-embed=true": "unknown flag",
		"--memory":          "needs an argument",
		"start":             "takes only flags",
	} {
		if _, err := ParseFlags("gannet-dataplane", []string{args}, nil, ScopeDataplane, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
	l, err := ParseFlags("gannet-dataplane", []string{"--memory", "64MiB", "-shards=2"}, nil, ScopeDataplane, nil)
	if err != nil || l.Memory != 64<<20 || l.Shards != 2 {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestPlace(t *testing.T) {
	for _, c := range []struct {
		shards             int
		cpus               CPUList
		allowed, want, oth []int
	}{
		{0, nil, []int{0}, []int{0}, nil},
		{0, nil, []int{0, 1}, []int{1}, []int{0}},
		{2, nil, []int{2, 4, 6}, []int{4, 6}, []int{2}},
		{2, nil, []int{0, 1}, []int{0, 1}, nil},
		{0, CPUList{6, 2}, []int{2, 4, 6}, []int{6, 2}, []int{4}},
	} {
		cfg := Config{Shards: c.shards, CPUs: c.cpus}
		p, err := cfg.Place(c.allowed)
		if err != nil || !slices.Equal(p.CPUs, c.want) || !slices.Equal(p.Others, c.oth) {
			t.Errorf("%+v: %+v, %v", c, p, err)
		}
	}
	var few *TooFewCPUsError
	if _, err := (&Config{Shards: 3}).Place([]int{0, 1}); !errors.As(err, &few) {
		t.Errorf("too few CPUs: %v", err)
	}
	var not *CPUNotAllowedError
	if _, err := (&Config{CPUs: CPUList{5}}).Place([]int{0, 1}); !errors.As(err, &not) {
		t.Errorf("a CPU not allowed: %v", err)
	}
}

func TestSizesReadBackAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Size(rapid.Int64Range(0, math.MaxInt64).Draw(t, "bytes"))
		if rapid.Bool().Draw(t, "round") {
			s = s >> 30 << 30
		}
		if got, err := ParseSize(s.String()); err != nil || got != s {
			t.Fatalf("%d is written %s and read %d, %v", s, s, got, err)
		}
	})
}

func TestCPUListsReadBackAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := CPUList(rapid.SliceOfDistinct(rapid.IntRange(0, 64), rapid.ID[int]).Draw(t, "cpus"))
		if got, err := ParseCPUList(list.String()); err != nil || !slices.Equal(got, list) {
			t.Fatalf("%v is written %s and read %v, %v", []int(list), list, []int(got), err)
		}
	})
}

func TestNearest(t *testing.T) {
	choices := []string{"memory", "policy", "log-level"}
	for written, want := range map[string]string{"memroy": "memory", "polcy": "policy", "loglevel": "log-level", "log.level": "log-level", "xyz": "", "": ""} {
		if got := Nearest(written, choices); got != want {
			t.Errorf("%q: nearest is %q, want %q", written, got, want)
		}
	}
}

func FuzzValues(f *testing.F) {
	for _, seed := range []string{"512MiB", "1.5GB", "20us", "0-3,8", "-1", "3G", "1e9GiB", "9999999TiB", "0-99999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := ParseSize(text); err == nil && s < 0 {
			t.Errorf("%q is the size %d", text, s)
		}
		if d, err := ParseDuration(text); err == nil && d < 0 {
			t.Errorf("%q is the duration %v", text, d)
		}
		if list, err := ParseCPUList(text); err == nil && len(list) > maxCPU+1 {
			t.Errorf("%q has %d CPUs", text, len(list))
		}
	})
}
