package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// figure is one benchmark: nanoseconds as a ratio to the reference's, and
// allocations an operation.
type figure struct {
	Ratio       float64 `json:"ratio"`
	Allocations float64 `json:"allocations"`
}

const (
	referenceName = "BenchmarkReference"
	slowerBy      = 2.0
)

func main() {
	in := flag.String("in", "out/microbench.txt", "what go test -bench printed")
	baseline := flag.String("baseline", "test/microbench/baseline.json", "the committed figures")
	update := flag.Bool("update", false, "make these the baseline")
	flag.Parse()
	if err := run(*in, *baseline, *update, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "microbench:", err)
		os.Exit(1)
	}
}

func run(in, baseline string, update bool, out io.Writer) error {
	f, err := os.Open(in)
	if err != nil {
		return err
	}
	defer f.Close()
	measured, err := parse(f)
	if err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	if update {
		return save(baseline, measured)
	}
	known, err := load(baseline)
	if err != nil {
		return err
	}
	return compare(measured, known, out)
}

// parse reads the least time and the most allocations of each benchmark.
func parse(r io.Reader) (map[string]figure, error) {
	figures, seen := map[string]figure{}, bufio.NewScanner(r)
	for seen.Scan() {
		fields := strings.Fields(seen.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name, _, _ := strings.Cut(fields[0], "-")
		f, known := figures[name]
		for i := 2; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", seen.Text(), err)
			}
			switch fields[i+1] {
			case "ns/op":
				if !known || v < f.Ratio {
					f.Ratio = v
				}
			case "allocs/op":
				f.Allocations = max(f.Allocations, v)
			}
		}
		figures[name] = f
	}
	if err := seen.Err(); err != nil {
		return nil, err
	}
	return figures, relate(figures)
}

// relate divides all times by the reference's.
func relate(figures map[string]figure) error {
	reference := figures[referenceName].Ratio
	if reference <= 0 {
		return errors.New("the reference was not measured")
	}
	delete(figures, referenceName)
	for name, f := range figures {
		f.Ratio /= reference
		figures[name] = f
	}
	return nil
}

func load(path string) (figures map[string]figure, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the baseline (UPDATE=1 makes one): %w", err)
	}
	if err := json.Unmarshal(data, &figures); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return figures, nil
}

func save(path string, figures map[string]figure) error {
	for name, f := range figures {
		f.Ratio, _ = strconv.ParseFloat(strconv.FormatFloat(f.Ratio, 'g', 3, 64), 64)
		figures[name] = f
	}
	data, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// compare prints a table, and fails where something allocates that did not, or was
// not measured.
func compare(measured, known map[string]figure, out io.Writer) error {
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	var faults []error
	w := tabwriter.NewWriter(out, 2, 8, 2, ' ', 0)
	fmt.Fprintln(w, "benchmark\t× reference\tbaseline\tallocations\tbaseline\t")
	for _, name := range names {
		was, remark := known[name], ""
		now, ok := measured[name]
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("%s was not measured", name))
			continue
		case now.Allocations > was.Allocations:
			remark = "ALLOCATES MORE"
			faults = append(faults, fmt.Errorf("%s: %g allocations, the baseline has %g", name, now.Allocations, was.Allocations))
		case now.Ratio > slowerBy*was.Ratio:
			remark = "slower"
		}
		fmt.Fprintf(w, "%s\t%.3g\t%.3g\t%g\t%g\t%s\n", strings.TrimPrefix(name, "Benchmark"), now.Ratio, was.Ratio, now.Allocations, was.Allocations, remark)
	}
	_ = w.Flush()
	for name := range measured {
		if _, ok := known[name]; !ok {
			faults = append(faults, fmt.Errorf("%s has no baseline: UPDATE=1", name))
		}
	}
	return errors.Join(faults...)
}
