package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The monitor's thread is among those that are there when a program begins.
func TestEveryThreadIsLoosened(t *testing.T) {
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil || len(threads) < 2 {
		t.Fatalf("%d threads: where is Go's monitor? %v", len(threads), err)
	}
	slackOf := func(thread string) string {
		return filepath.Join("/proc", filepath.Base(thread), "timerslack_ns")
	}
	if err := os.WriteFile(slackOf(threads[0]), []byte("50000"), 0); err != nil {
		t.Skipf("this process may not set its threads' timer slack: %v", err)
	}
	loosenTimers()
	for _, thread := range threads {
		data, err := os.ReadFile(slackOf(thread))
		if os.IsNotExist(err) {
			continue // it has ended
		}
		if strings.TrimSpace(string(data)) != timerSlackNanos {
			t.Errorf("%s: a slack of %q ns, %v", thread, data, err)
		}
	}
}
