package report

import (
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"slices"

	"gannet/benchmarks/suite"
	"gannet/test/rows"
)

//go:embed page.html
var page string

// figureOf is one plot with what there is to know about it.
type figureOf struct {
	Head, Text string
	SVG        template.HTML // drawn by us from numbers and fixed words
}

// HTML writes the report as one file.
func HTML(w io.Writer, d *suite.Document) error {
	plots, err := draw(d)
	if err != nil {
		return err
	}
	t, err := template.New("page").Funcs(template.FuncMap{
		"figure": figure, "spread": spread, "verdict": verdict, "goal": goal,
		"load": load, "percent": func(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) },
		"thousands": thousands,
	}).Parse(page)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	err = t.Execute(w, struct {
		*suite.Document
		Plots    []figureOf
		Judged   []rows.Row
		Reported []rows.Row
	}{d, plots, judged(d, true), judged(d, false)})
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// judged are the rows with a goal (void ones among them), or those without.
func judged(d *suite.Document, withGoal bool) []rows.Row {
	return slices.DeleteFunc(slices.Clone(d.Rows), func(r rows.Row) bool { return (r.Goal != nil || r.Void) != withGoal })
}

// draw draws what there are figures for.
func draw(d *suite.Document) ([]figureOf, error) {
	var all []figureOf
	add := func(head, text string, drawn string, err error) error {
		if err == nil {
			all = append(all, figureOf{head, text, template.HTML(drawn)})
		}
		return err
	}
	if len(throughput(d, 1)) > 0 {
		drawn, err := Throughput(d)
		if err := add("Throughput, one key a request", throughputText, drawn, err); err != nil {
			return nil, err
		}
	}
	if many := throughput(d, 16); len(many) > 0 {
		drawn, err := barPlot("", "thousand keys a second of one server core", many, nil, nil)
		if err := add("Throughput, 16 keys a request", "", drawn, err); err != nil {
			return nil, err
		}
	}
	if curves := latencyCurves(d); len(curves) > 0 {
		drawn, err := curvePlot("", "offered load, thousand requests a second", "latency, µs", curves, false)
		if err := add("Latency against load", latencyText, drawn, err); err != nil {
			return nil, err
		}
	}
	curves, err := hdrCurves(d)
	if err != nil {
		return nil, err
	}
	if len(curves) > 0 {
		drawn, err := curvePlot("", "percentile", "latency, µs", curves, true)
		if err := add("Percentiles at equal load", percentileText, drawn, err); err != nil {
			return nil, err
		}
	}
	if stages := stageBars(d); len(stages) > 0 {
		drawn, err := barPlot("", "µs of the server's core a key", stages, []string{"receiving (NAPI thread)", "system calls", "user space"}, nil)
		if err := add("Cost by stage", stageText, drawn, err); err != nil {
			return nil, err
		}
	}
	return all, nil
}

const (
	throughputText = "What one core can do when it does nothing else: 10⁹ ÷ nanoseconds a key. The dashed lines are limits: " +
		"the XDP_TX reflector does no more than send a frame back, and the goal's line is where Gannet's GET of 1 KB has to be."
	latencyText    = "Open loop; latency counts from the scheduled moment of each request. Whole lines are medians, dashed ones the 99th percentile."
	percentileText = "At half of memcached's highest rate over UDP, for both; all good rounds together."
	stageText      = "The kernel's polling thread receives packets and runs XDP programs; system calls are sending, waiting, and for " +
		"kernel sockets the rest of the network stack; user space is the server's own code. The first is exact (schedstat), the two others are exact in " +
		"sum and divided by the tick's samples."
)

// Throughput draws what one core can do, one key a request, as SVG.
func Throughput(d *suite.Document) (string, error) {
	bars := throughput(d, 1)
	if len(bars) == 0 {
		return "", errors.New("report: there are no figures of one key a request; measure all rows, or ONLY=get1k")
	}
	return barPlot("", "thousand keys a second of one server core", bars, nil, limits(d))
}

func throughput(d *suite.Document, keys int) []bar {
	var all []bar
	for _, s := range summaries(d) {
		if s.subject.KeysPerRequest == keys {
			all = append(all, bar{s.subject.Title + ", " + load(s.subject), []float64{1e6 / s.nanos}})
		}
	}
	return all
}

// limits are the reflector's rate and the goal of get1k, in thousand keys a second.
func limits(d *suite.Document) []limit {
	var all []limit
	for _, s := range summaries(d) {
		switch s.subject.ID {
		case "reflector-1k":
			all = append(all, limit{"XDP_TX reflector, 1 KB", 1e6 / s.nanos})
		case "memcached-udp-get-1k":
			all = append(all, limit{"goal: 4 × memcached UDP, 1 KB", 4e6 / s.nanos})
		}
	}
	return all
}

func stageBars(d *suite.Document) []bar {
	var all []bar
	for _, s := range summaries(d) {
		all = append(all, bar{s.subject.Title + ", " + load(s.subject), []float64{s.poll / 1000, s.system / 1000, s.user / 1000}})
	}
	return all
}
