package main

import (
	"image/color"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// curve is one line of a panel.
type curve struct {
	name  string
	color color.Color
	value func(*row) float64
}

// panel is one row of the plot.
type panel struct {
	label  string
	least  float64 // of the axis
	curves []curve
}

var (
	blue   = color.RGBA{R: 31, G: 119, B: 180, A: 255}
	orange = color.RGBA{R: 224, G: 114, B: 20, A: 255}
)

var panels = []panel{
	{"copied, GB/s", 0, []curve{{"", blue, func(r *row) float64 { return r.Moved / 1e9 }}}},
	{"etcd, requests/s", 0, []curve{{"", blue, func(r *row) float64 {
		sum := 0
		for op, n := range r.Etcd {
			if operation(op) != opWatch {
				sum += n
			}
		}
		return float64(sum)
	}}}},
	{"leaders, max/mean", 1, []curve{{"", blue, func(r *row) float64 { return r.Max }}}},
	{"GETs, %", 0, []curve{
		{"second try", blue, func(r *row) float64 { return 100 * r.Retried / max(r.Requests, 1) }},
		{"without the item", orange, func(r *row) float64 { return 100 * r.NotStored / max(r.Requests, 1) }},
	}},
}

// writePlot draws a column for each scenario.
func writePlot(path string, results []figures) error {
	grid := make([][]*plot.Plot, len(panels))
	for i := range panels {
		for j := range results {
			p, err := drawPanel(&panels[i], &results[j], i == 0, i == len(panels)-1, j == 0)
			if err != nil {
				return err
			}
			grid[i] = append(grid[i], p)
		}
	}
	canvas := vgsvg.New(vg.Length(len(results))*8*vg.Centimeter, vg.Length(len(panels))*4.5*vg.Centimeter)
	tiles := draw.Tiles{Rows: len(panels), Cols: len(results), PadX: vg.Millimeter * 4, PadY: vg.Millimeter * 3, PadRight: vg.Millimeter * 3}
	for i, line := range plot.Align(grid, tiles, draw.New(canvas)) {
		for j, where := range line {
			grid[i][j].Draw(where)
		}
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

func drawPanel(what *panel, g *figures, top, bottom, left bool) (*plot.Plot, error) {
	p := plot.New()
	if top {
		p.Title.Text = g.Name
	}
	if bottom {
		p.X.Label.Text = "seconds"
	}
	if left {
		p.Y.Label.Text = what.label
	}
	highest := what.least
	for _, c := range what.curves {
		points := make(plotter.XYs, len(g.Series.rows))
		for i := range g.Series.rows {
			points[i].X, points[i].Y = float64(i), c.value(&g.Series.rows[i])
			highest = max(highest, points[i].Y)
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return nil, err
		}
		line.Color = c.color
		p.Add(line)
		if c.name != "" && left {
			p.Legend.Add(c.name, line)
			p.Legend.Top = true
		}
	}
	p.Y.Min, p.Y.Max = what.least, what.least+max(1.1*(highest-what.least), 0.001)
	p.Add(plotter.NewGrid())
	return p, nil
}
