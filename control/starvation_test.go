package control

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// fakeTask writes what /proc says of a thread.
func fakeTask(t *testing.T, root string, pid, tid int, state string, ranNanos int64) {
	t.Helper()
	dir := filepath.Join(root, fmt.Sprint(pid), "task", fmt.Sprint(tid))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"stat":      fmt.Sprintf("%d (odd ) name) %s 1 1 1", tid, state),
		"schedstat": fmt.Sprintf("%d 77 5\n", ranNanos),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStarvation(t *testing.T) {
	for _, c := range []struct {
		name, state string
		ran         int64 // between the looks
		want        bool
	}{
		{"runnable, has not run", "R", 0, true},
		{"runnable, ran a little", "R", 1 * ms, true},
		{"spins", "R", 10 * ms, false},
		{"stopped", "T", 0, false},
		{"sleeps", "S", 0, false},
		{"waits for a disk", "D", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			s := newStarvation(root, 2*ms)
			fakeTask(t, root, 7, 8, c.state, 50*ms)
			if s.look(7) {
				t.Fatal("the first look has nothing to compare with")
			}
			fakeTask(t, root, 7, 8, c.state, 50*ms+c.ran)
			if got := s.look(7); got != c.want {
				t.Fatalf("starved = %v", got)
			}
		})
	}
}

func TestStarvationOfAnotherProcess(t *testing.T) {
	root := t.TempDir()
	s := newStarvation(root, 2*ms)
	fakeTask(t, root, 7, 8, "R", 0)
	fakeTask(t, root, 9, 10, "R", 0)
	s.look(7)
	if s.look(9) {
		t.Fatal("compared two processes")
	}
	if s.look(11) {
		t.Fatal("a process that is gone is starved")
	}
}

func TestStarvationReadsProc(t *testing.T) {
	if _, _, err := readTask(fmt.Sprintf("/proc/%d/task/%d", os.Getpid(), os.Getpid())); err != nil {
		t.Fatal(err)
	}
}
