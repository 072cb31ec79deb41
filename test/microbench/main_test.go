package main

import (
	"io"
	"strings"
	"testing"
)

const printed = `goos: linux
BenchmarkReference-2   	 1000	       100.0 ns/op
BenchmarkReference-2   	 1000	        80.0 ns/op
BenchmarkParse-2       	 1000	        40.0 ns/op	       0 B/op	       0 allocs/op
BenchmarkParse-2       	 1000	        60.0 ns/op	       0 B/op	       1 allocs/op
PASS
`

func TestLeastTimesAndMostAllocationsCount(t *testing.T) {
	got, err := parse(strings.NewReader(printed))
	if err != nil {
		t.Fatal(err)
	}
	if want := (figure{0.5, 1}); got["BenchmarkParse"] != want {
		t.Errorf("got %v, want %v", got["BenchmarkParse"], want)
	}
	if _, err := parse(strings.NewReader("BenchmarkParse-2 1 40 ns/op\n")); err == nil {
		t.Error("no reference, no error")
	}
}

func TestComparison(t *testing.T) {
	base := map[string]figure{"BenchmarkParse": {0.5, 0}}
	for name, c := range map[string]struct {
		measured map[string]figure
		fails    bool
		says     string
	}{
		"as before":        {map[string]figure{"BenchmarkParse": {0.9, 0}}, false, ""},
		"slower":           {map[string]figure{"BenchmarkParse": {1.1, 0}}, false, "slower"},
		"allocates":        {map[string]figure{"BenchmarkParse": {0.5, 1}}, true, "ALLOCATES"},
		"gone":             {map[string]figure{}, true, ""},
		"without baseline": {map[string]figure{"BenchmarkParse": {0.5, 0}, "BenchmarkNew": {1, 0}}, true, ""},
	} {
		var out strings.Builder
		err := compare(c.measured, base, io.Writer(&out))
		if (err != nil) != c.fails || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: error %v, table %q", name, err, out.String())
		}
	}
}
