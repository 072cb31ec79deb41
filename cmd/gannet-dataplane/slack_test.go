package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// The monitor's thread is among those that are there when a program begins.
func TestEveryThreadIsLoosened(t *testing.T) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	if len(threads) < 2 {
		t.Fatalf("%d threads: where is Go's monitor?", len(threads))
	}
	if err := os.WriteFile(slackOf(threads[0].Name()), []byte("50000"), 0); err != nil {
		t.Skipf("this process may not set its threads' timer slack: %v", err)
	}
	loosenTimers()
	for _, thread := range threads {
		data, err := os.ReadFile(slackOf(thread.Name()))
		if os.IsNotExist(err) {
			continue // it has ended
		}
		if slack, _ := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); slack != timerSlack.Nanoseconds() {
			t.Errorf("thread %s: a slack of %q ns, %v", thread.Name(), data, err)
		}
	}
}
