package main

import (
	"fmt"
	"image/color"
	"io"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"gannet/client"
)

const simulated = 100 // multi-gets of each point

// outcome is what many simulated multi-gets came to.
type outcome struct {
	p50, p99   float64 // completion, of bytes ÷ rate
	lost       float64 // share of datagrams
	waitMicros float64 // p99 of a neighbour's packet in the queue
}

// simulateMany repeats a scene with other seeds.
func simulateMany(s scene, mode client.IncastMode, times int) outcome {
	var took, waits []int64
	sent, lost := 0, 0
	for seed := range times {
		s.Seed = uint64(seed)
		got := simulate(s, mode)
		took = append(took, int64(got.DoneNanos/got.IdealNanos*1e6))
		for _, w := range got.Waits {
			waits = append(waits, int64(w))
		}
		sent, lost = sent+got.Sent, lost+got.Lost
	}
	return outcome{quantile(took, 0.5) / 1e6, quantile(took, 0.99) / 1e6, float64(lost) / float64(max(1, sent)), quantile(waits, 0.99) / 1e3}
}

var modeColors = [...]color.Color{
	client.IncastGrants: color.RGBA{R: 31, G: 119, B: 180, A: 255},
	client.IncastWindow: color.RGBA{R: 224, G: 114, B: 20, A: 255},
	client.IncastNone:   color.RGBA{R: 120, G: 120, B: 120, A: 255},
}

var panels = []struct {
	label string
	value func(*outcome) float64
}{
	{"lost, %", func(o *outcome) float64 { return 100 * o.lost }},
	{"p99 ÷ (bytes ÷ rate)", func(o *outcome) float64 { return o.p99 }},
	{"neighbour's wait p99, µs", func(o *outcome) float64 { return o.waitMicros }},
}

// drawSimulation tells what the simulation says at the lab's size and the fleet's,
// and draws how it grows with the number of nodes.
func drawSimulation(path string, out io.Writer) error {
	fmt.Fprintln(out, "| size | way | lost | p50 | p99 | neighbour's wait p99, µs |\n|---|---|---|---|---|---|")
	for _, s := range []struct {
		name string
		scene
	}{{"16 nodes, 100 Mb/s", theLab}, {"200 nodes, 100 Gb/s", theFleet}} {
		for mode, name := range modeNames {
			o := simulateMany(s.scene, client.IncastMode(mode), simulated)
			fmt.Fprintf(out, "| %s | %s | %.4f | %.3f | %.3f | %.1f |\n", s.name, name, o.lost, o.p50, o.p99, o.waitMicros)
		}
	}
	nodes := []int{10, 25, 50, 75, 100, 150, 200, 300, 400}
	grid := make([][]*plot.Plot, 1)
	for i := range panels {
		p := plot.New()
		p.X.Label.Text, p.Y.Label.Text = "nodes", panels[i].label
		p.Add(plotter.NewGrid())
		grid[0] = append(grid[0], p)
	}
	for mode, name := range modeNames {
		if err := addCurves(grid[0], nodes, client.IncastMode(mode), name); err != nil {
			return err
		}
	}
	return writePlot(path, grid)
}

func addCurves(plots []*plot.Plot, nodes []int, mode client.IncastMode, name string) error {
	curves := make([]plotter.XYs, len(panels))
	for _, n := range nodes {
		s := theFleet
		s.Nodes, s.Keys = n, 4*n
		o := simulateMany(s, mode, simulated/4)
		for i := range panels {
			curves[i] = append(curves[i], plotter.XY{X: float64(n), Y: panels[i].value(&o)})
		}
	}
	for i, c := range curves {
		line, err := plotter.NewLine(c)
		if err != nil {
			return err
		}
		line.Color, line.Width = modeColors[mode], vg.Points(1.5)
		plots[i].Add(line)
		plots[i].Y.Min = 0
		if i == 0 {
			plots[i].Legend.Add(name, line)
			plots[i].Legend.Top, plots[i].Legend.Left = true, true
		}
	}
	return nil
}

func writePlot(path string, grid [][]*plot.Plot) error {
	canvas := vgsvg.New(24*vg.Centimeter, 7*vg.Centimeter)
	tiles := draw.Tiles{Rows: 1, Cols: len(panels), PadX: vg.Millimeter * 4, PadTop: vg.Millimeter * 3, PadRight: vg.Millimeter * 3}
	for i, where := range plot.Align(grid, tiles, draw.New(canvas))[0] {
		grid[0][i].Draw(where)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(file); err != nil {
		_ = file.Close() // the first error says more
		return err
	}
	return file.Close()
}
