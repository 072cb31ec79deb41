package control

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gannet/board"
)

func testSupervisor(t *testing.T, script string) *Supervisor {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gannet-dataplane")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return &Supervisor{
		Binary: path, Output: &strings.Builder{}, Link: NewLink(t.TempDir(), quiet), Log: quiet,
		Adopt:  func(board.NodeInfo) bool { return false },
		Served: func() uint64 { return 0 },
	}
}

func TestSupervisorGivesUpOnWhatNeverServes(t *testing.T) {
	s := testSupervisor(t, "exit 3\n")
	err := s.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "5 times before it served") {
		t.Fatalf("a data plane that never serves: %v", err)
	}
	if s.Restarts() != restartHopeless-1 {
		t.Errorf("%d restarts", s.Restarts())
	}
}

// TestSupervisorGoesOnWithWhatServed has data planes that serve and end, more often
// than those that never serve may.
func TestSupervisorGoesOnWithWhatServed(t *testing.T) {
	s := testSupervisor(t, "exit 3\n")
	asked := uint64(0)
	s.Served = func() uint64 { // asked before and after each life: the first two serve
		asked++
		return min(asked, 4)
	}
	if err := s.Run(t.Context()); err == nil {
		t.Fatal("never gave up")
	}
	if s.Restarts() != 2+restartHopeless-1 {
		t.Errorf("%d restarts", s.Restarts())
	}
}

func TestSupervisorSaysThatTheBinaryCannotRun(t *testing.T) {
	s := testSupervisor(t, "")
	s.Binary += ".gone"
	if err := s.Run(t.Context()); !errors.Is(err, errNotStarted) {
		t.Fatalf("a binary that is not there: %v", err)
	}
}

func TestSupervisorDrains(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "started")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	// Says that it runs, and ends well on SIGTERM only.
	s := testSupervisor(t, "trap 'echo drained; exit 0' TERM\necho up > "+fifo+"\nwhile :; do read x < "+fifo+"; done\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if _, err := os.ReadFile(fifo); err != nil { // waits until it runs
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if out := s.Output.(*strings.Builder).String(); !strings.HasSuffix(out, "drained\n") {
		t.Errorf("it said %q", out)
	}
}

func TestFindDataplane(t *testing.T) {
	var missing *NoDataplaneError
	if _, err := FindDataplane("/nowhere/gannet-dataplane"); !errors.As(err, &missing) {
		t.Errorf("a binary that is not there: %v", err)
	}
	if path, err := FindDataplane("/bin/sh"); err != nil || path != "/bin/sh" {
		t.Errorf("%s, %v", path, err)
	}
}

func TestChildrenDoNotReportReadiness(t *testing.T) {
	got := withoutNotify([]string{"A=1", "NOTIFY_SOCKET=/run/x", "B=2"})
	if strings.Join(got, " ") != "A=1 B=2" {
		t.Errorf("%q", got)
	}
}
