package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// scenarios in the order in which they are shown.
var scenarios = []struct {
	id  string
	run func(*fleet) figures
}{
	{"zone", (*fleet).zoneLoss},
	{"zone-controller", (*fleet).zoneLossWithController},
	{"restart", (*fleet).rollingRestart},
	{"restart-patient", (*fleet).rollingRestartPatient},
	{"scale", (*fleet).scaleOut},
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	m := defaultModel()
	flags := flag.NewFlagSet("fleet", flag.ContinueOnError)
	seed := flags.Uint64("seed", 1, "seed of everything random")
	only := flags.String("only", "", "scenarios to run, by comma: zone, zone-controller, restart, restart-patient, scale")
	out := flags.String("out", "", "write the figures to this JSON file")
	doc := flags.String("doc", "", "write the tables into this Markdown file, between its markers")
	plotFile := flags.String("plot", "", "write the plot to this SVG file")
	flags.IntVar(&m.Nodes, "nodes", m.Nodes, "nodes at the start, a multiple of the three zones")
	flags.IntVar(&m.Clients, "clients", m.Clients, "clients")
	if err := flags.Parse(args); err != nil {
		return err
	}
	results, err := runAll(m, *seed, *only)
	if err != nil {
		return err
	}
	tables := markdown(m, results)
	fmt.Print(tables)
	if err := writeAll(*out, *doc, *plotFile, tables, results); err != nil {
		return err
	}
	for i := range results {
		if !results[i].Settled {
			return fmt.Errorf("%s: the fleet did not settle", results[i].Name)
		}
	}
	return nil
}

// runAll runs the scenarios side by side, each in a fleet of its own.
func runAll(m model, seed uint64, only string) ([]figures, error) {
	results, failures := make([]figures, len(scenarios)), make([]error, len(scenarios))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var group sync.WaitGroup
	for i, s := range scenarios {
		if only != "" && !contains(strings.Split(only, ","), s.id) {
			continue
		}
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			f := newFleet(m, seed)
			if failures[i] = f.boot(); failures[i] == nil {
				results[i] = s.run(f)
				fmt.Fprintf(os.Stderr, "%s: the controller's %d steps took %v, the slowest %v\n", s.id, f.brain.count, f.brain.spent, f.brain.slowest)
			}
		})
	}
	group.Wait()
	var done []figures
	for i, err := range failures {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", scenarios[i].id, err)
		}
		if results[i].Name != "" {
			done = append(done, results[i])
		}
	}
	if len(done) == 0 {
		return nil, fmt.Errorf("no scenario is called %q", only)
	}
	return done, nil
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func writeAll(out, doc, plotFile, tables string, results []figures) error {
	if out != "" {
		if err := writeJSON(out, results); err != nil {
			return fmt.Errorf("write the figures: %w", err)
		}
	}
	if plotFile != "" {
		if err := writePlot(plotFile, results); err != nil {
			return fmt.Errorf("write the plot: %w", err)
		}
	}
	if doc != "" {
		return writeBetweenMarkers(doc, tables)
	}
	return nil
}

func writeJSON(path string, results []figures) error {
	b, err := json.MarshalIndent(map[string]any{"scenarios": results}, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

const (
	markBegin = "<!-- begin: written by the command above -->\n"
	markEnd   = "<!-- end -->\n"
)

// writeBetweenMarkers replaces what stands between the markers of a file.
func writeBetweenMarkers(path, text string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the page that takes the tables: %w", err)
	}
	head, rest, ok := strings.Cut(string(b), markBegin)
	_, tail, ok2 := strings.Cut(rest, markEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no markers %q and %q", path, strings.TrimSpace(markBegin), strings.TrimSpace(markEnd))
	}
	return os.WriteFile(path, []byte(head+markBegin+text+markEnd+tail), 0o644)
}
