package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// curveBytes are the values of the curve in docs/memory.md.
var curveBytes = []int{128, 256, 512, 768, 1024, 1400}

// drawCurve measures the worth of header room over the length of values, prints it,
// and draws it.
func drawCurve(path string, out io.Writer) error {
	var copied, placed plotter.XYs
	table := tabwriter.NewWriter(out, 2, 8, 2, ' ', 0)
	fmt.Fprintln(table, "value\tcopied, ns\tin place, ns\tratio")
	for _, n := range curveBytes {
		g, err := measureGain(n)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%d B\t%.0f\t%.0f\t%.2f\n", n, g.copied, g.placed, g.ratio())
		copied = append(copied, plotter.XY{X: float64(n), Y: g.copied})
		placed = append(placed, plotter.XY{X: float64(n), Y: g.placed})
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("curve: %w", err)
	}
	p := plot.New()
	p.Title.Text = "CPU a GET, port in memory, values far beyond the cache"
	p.X.Label.Text, p.Y.Label.Text = "value, bytes", "ns"
	p.Y.Min, p.Legend.Top, p.Legend.Left = 0, true, true
	for _, series := range []struct {
		name   string
		points plotter.XYs
		dashes []vg.Length
	}{{"copied into a frame", copied, nil}, {"in place, out of its slot", placed, []vg.Length{vg.Points(4), vg.Points(3)}}} {
		line, err := plotter.NewLine(series.points)
		if err != nil {
			return fmt.Errorf("curve: %w", err)
		}
		line.Width, line.Dashes = vg.Points(1.5), series.dashes
		p.Add(line)
		p.Legend.Add(series.name, line)
	}
	p.Add(plotter.NewGrid())
	if err := p.Save(16*vg.Centimeter, 9*vg.Centimeter, path); err != nil {
		return fmt.Errorf("curve: %w", err)
	}
	return nil
}
