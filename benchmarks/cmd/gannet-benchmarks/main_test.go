package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gannet/benchmarks/suite"
	"gannet/test/rows"
)

func stored(t *testing.T) string {
	t.Helper()
	d := &suite.Document{}
	d.Add(rows.Row{ID: "get1k", Value: 0.3, N: 5, Note: "a ratio"}.AtMost(0.25))
	path := filepath.Join(t.TempDir(), "bench.json")
	if err := d.Write(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTableAndReportFromAFile(t *testing.T) {
	path := stored(t)
	var out bytes.Buffer
	if err := do(context.Background(), []string{"table", path}, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "| get1k | a ratio | 0.3") || !strings.Contains(out.String(), "**no**") {
		t.Errorf("%s", &out)
	}
	page := filepath.Join(t.TempDir(), "x.html")
	if err := do(context.Background(), []string{"report", path, page}, &out); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(page); err != nil || !strings.Contains(string(data), "a ratio") {
		t.Errorf("%v, %s", err, data)
	}
}

func TestCheck(t *testing.T) {
	var out bytes.Buffer
	if err := do(context.Background(), []string{"check", stored(t)}, &out); err != nil || !strings.Contains(out.String(), "1 rows") {
		t.Errorf("%v, %s", err, &out)
	}
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte(`{"rows":[{"id":"x"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := do(context.Background(), []string{"check", bad}, &out); err == nil {
		t.Error("a row without fields passes")
	}
}

func TestWrongArguments(t *testing.T) {
	for _, args := range [][]string{nil, {"no-such-verb"}, {"table"}, {"report", "x"}, {"check"}, {"run", "-no-such-flag"}} {
		if err := do(context.Background(), args, &bytes.Buffer{}); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v, want the usage", args, err)
		}
	}
	if err := do(context.Background(), []string{"run", "-bin", "/nonexistent"}, &bytes.Buffer{}); err == nil || errors.Is(err, errUsage) {
		t.Errorf("a run without binaries: %v", err)
	}
}

// TestVerdict: what shows nothing fails; what was missed does not.
func TestVerdict(t *testing.T) {
	d := &suite.Document{}
	d.Add(rows.Row{ID: "missed", Value: 2}.AtMost(1))
	if err := verdict(d, false); err != nil {
		t.Errorf("a missed goal: %v", err)
	}
	d.Void("lost", errors.New("nothing came back"))
	if verdict(d, false) == nil {
		t.Error("a void row passes")
	}
	if err := verdict(d, true); err != nil {
		t.Errorf("a void row of a quick run: %v", err)
	}
}
