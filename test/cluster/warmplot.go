package main

import (
	"errors"
	"fmt"
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// drawWarm draws the hit ratio of both replays over the requests.
func drawWarm(path string, steady, killed *warmRun, killAt int) error {
	p := plot.New()
	p.Title.Text = "A leader dies: does its follower have what it had?"
	p.X.Label.Text = "request"
	p.Y.Label.Text = fmt.Sprintf("hit ratio of %d requests", warmWindow)
	p.Add(plotter.NewGrid())
	from := max(0, killAt-warmJudged)
	for _, curve := range []struct {
		name  string
		run   *warmRun
		color color.Color
	}{
		{"no kill", steady, color.RGBA{R: 31, G: 119, B: 180, A: 255}},
		{"one of three nodes killed", killed, color.RGBA{R: 224, G: 114, B: 20, A: 255}},
	} {
		line, err := plotter.NewLine(curve.run.points(from))
		if err != nil {
			return err
		}
		line.Color = curve.color
		p.Add(line)
		p.Legend.Add(curve.name, line)
	}
	mark, err := plotter.NewLine(plotter.XYs{{X: float64(killAt), Y: 0}, {X: float64(killAt), Y: 1}})
	if err != nil {
		return err
	}
	mark.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
	p.Add(mark)
	p.Legend.Add("kill", mark)
	p.Y.Min, p.Y.Max = 0, 1
	return saveSVG(path, p)
}

// points are the curve from a request on.
func (r *warmRun) points(from int) plotter.XYs {
	var points plotter.XYs
	for at := from; at+warmWindow <= len(r.keys); at += warmWindow {
		points = append(points, plotter.XY{X: float64(at + warmWindow/2), Y: r.ratio(at, at+warmWindow)})
	}
	return points
}

func saveSVG(path string, p *plot.Plot) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	canvas := vgsvg.New(18*vg.Centimeter, 9*vg.Centimeter)
	p.Draw(draw.New(canvas))
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	_, err = canvas.WriteTo(file)
	return errors.Join(err, file.Close())
}
