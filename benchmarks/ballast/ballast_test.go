package ballast

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

func TestRefusesNonsense(t *testing.T) {
	for _, args := range [][2]string{{"x", "0.5"}, {"0", "0"}, {"0", "1"}, {"0", "much"}, {"4000", "0.5"}} {
		if err := Run(context.Background(), io.Discard, args[0], args[1]); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}

// TestTakesTime: the thread that it names runs, and is a real-time one.
func TestTakesTime(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: real-time scheduling")
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	read, write := io.Pipe()
	done := make(chan error)
	go func() { done <- Run(ctx, write, "0", "0.2") }()
	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	stat := fmt.Sprintf("/proc/self/task/%s/", strings.TrimSpace(line))
	first := ran(t, stat)
	for ran(t, stat) < first+5e6 { // 5 ms at a fifth of a core
	}
	const policy = 40 // of the fields after the name
	if data, err := os.ReadFile(stat + "stat"); err != nil || !bytes.Contains(data, []byte(")")) {
		t.Error(err)
	} else if fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:])); fields[policy-2] != "1" {
		t.Errorf("scheduling policy %s, want 1 (SCHED_FIFO)", fields[policy-2])
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func ran(t *testing.T, stat string) (nanos int64) {
	t.Helper()
	data, err := os.ReadFile(stat + "schedstat")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(data), &nanos); err != nil {
		t.Fatal(err)
	}
	return nanos
}
