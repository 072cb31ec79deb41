package rival_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"gannet/benchmarks/rival"
	"gannet/loadgen/bench"
	"gannet/test/lab"
	"gannet/tuning"
)

// TestMain lets the test's own binary be the servers that are started by their verbs.
func TestMain(m *testing.M) {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == rival.VerbGoMsg:
		err = rival.ServeGoMsg(context.Background(), os.Stdout, os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == rival.VerbReflect:
		err = rival.ServeReflector(context.Background(), os.Stdout, os.Args[2], os.Args[3])
	default:
		os.Exit(m.Run())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// newHost is a lab with everything that a rival needs.
func newHost(t *testing.T) rival.Host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	for _, tool := range []string{"memcached", "redis-server", "clang-14", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("missing %s: scripts/rivals.sh installs it", tool)
		}
	}
	native := t.TempDir()
	if out, err := exec.Command("../../scripts/rivals.sh", native).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	network, err := lab.New(lab.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := network.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := network.PinNAPI(0, 1); err != nil {
		t.Fatal(err)
	}
	// Nothing completes a checksum that was left to the other end's hardware.
	err = network.Client.Do(func() error { return tuning.Kernel{}.SetFeature(lab.ClientDevice, "tx-checksum-ip-generic", false) })
	if err != nil {
		t.Fatal(err)
	}
	passAll(t, network.Client)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return rival.Host{Lab: network, CPU: 0, Native: native, Self: self}
}

// passAll attaches a program that passes everything: XDP_TX wakes a veth's receiver only
// if that has one, as a generator with AF_XDP does.
func passAll(t *testing.T, ns lab.NS) {
	t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "MIT", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}, // XDP_PASS
	})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	err = ns.Do(func() error {
		nic, err := net.InterfaceByName(lab.ClientDevice)
		if err != nil {
			return err
		}
		attached, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: nic.Index, Flags: link.XDPDriverMode})
		if err == nil {
			t.Cleanup(func() { _ = attached.Close() })
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRivalsAnswer starts each one twice, one after the other: what the first leaves
// must not hinder the second.
func TestRivalsAnswer(t *testing.T) {
	host := newHost(t)
	for _, kind := range []rival.Kind{rival.Memcached, rival.Redis, rival.GoMsg, rival.Echo, rival.Reflector} {
		for range 2 {
			server, err := host.Start(t.Context(), kind)
			if err != nil {
				t.Fatal(err)
			}
			if server.Version == "" || server.Config == "" {
				t.Errorf("%s says nothing of itself: %+v", kind, server)
			}
			if server.PID != 0 {
				onlyOn(t, server.PID, "0")
			}
			if kind == rival.Echo || kind == rival.Reflector {
				comesBack(t, host.Lab, kind)
			}
			if err := server.Stop(); err != nil {
				t.Errorf("%s: %v\n%s", kind, err, server.Log())
			}
		}
	}
}

func TestConfigurationIsWhole(t *testing.T) {
	host := newHost(t)
	for kind, want := range map[rival.Kind][]string{
		rival.Memcached: {"STAT maxbytes 536870912", "STAT num_threads 1"},
		rival.Redis:     {"io-threads 1\n", "maxmemory 536870912\n", "maxmemory-policy allkeys-lru\n"},
	} {
		server, err := host.Start(t.Context(), kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range want {
			if !strings.Contains(server.Config, line) {
				t.Errorf("%s: %q is not in its configuration:\n%s", kind, line, server.Config)
			}
		}
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestServerThatDoesNotStart(t *testing.T) {
	host := newHost(t)
	host.Native = "/nonexistent"
	for _, kind := range []rival.Kind{rival.Echo, rival.Reflector, "no such kind"} {
		if _, err := host.Start(t.Context(), kind); err == nil {
			t.Errorf("%s started", kind)
		}
	}
}

// onlyOn expects all threads of a process on one CPU.
func onlyOn(t *testing.T, pid int, cpu string) {
	t.Helper()
	tasks, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", pid, task.Name()))
		if err != nil {
			continue // it ended
		}
		if _, rest, _ := strings.Cut(string(status), "Cpus_allowed_list:\t"); !strings.HasPrefix(rest, cpu+"\n") {
			t.Errorf("thread %s may run on %.10q", task.Name(), rest)
		}
	}
}

// comesBack sends a datagram, again and again for a while, and expects it back. The
// first ones may be lost until the neighbours know each other.
func comesBack(t *testing.T, l *lab.Lab, kind rival.Kind) {
	t.Helper()
	payload := bytes.Repeat([]byte("there and back"), 8)
	err := l.Client.Do(func() error {
		conn, err := net.Dial("udp", rival.Address(bench.Echo).String())
		if err != nil {
			return err
		}
		defer conn.Close()
		got := make([]byte, 2048)
		for range 50 {
			if _, err := conn.Write(payload); err != nil {
				continue // an ICMP error of the time before
			}
			_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if n, err := conn.Read(got); err == nil && bytes.Equal(got[:n], payload) {
				return nil
			}
		}
		return fmt.Errorf("nothing came back")
	})
	if err != nil {
		t.Errorf("%s: %v", kind, err)
	}
}
