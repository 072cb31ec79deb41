package lab

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

func TestNAPIThreadsArePinned(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	l, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	napi, err := l.PinNAPI(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []struct {
		threads []int
		cpu     string
	}{{napi.Server, "1"}, {napi.Client, "0"}} {
		if len(end.threads) != 1 {
			t.Fatalf("threads %v, want one: %+v", end.threads, napi)
		}
		if got := allowedCPUs(t, end.threads[0]); got != end.cpu {
			t.Errorf("thread %d may run on %s, want %s", end.threads[0], got, end.cpu)
		}
	}
}

func TestStartOnPinsEveryThread(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	l, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := exec.Command("sleep", "60")
	if err := l.Server.StartOn(cmd, 1); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if got := allowedCPUs(t, cmd.Process.Pid); got != "1" {
		t.Errorf("it may run on %s, want 1", got)
	}
}

func allowedCPUs(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "Cpus_allowed_list:")
	list, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(list)
}
