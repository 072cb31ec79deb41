package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgsvg"

	"gannet/benchmarks/suite"
)

// Colours that are told apart also without seeing red and green.
var palette = []color.Color{
	color.RGBA{0x00, 0x72, 0xB2, 0xFF},
	color.RGBA{0xD5, 0x5E, 0x00, 0xFF},
	color.RGBA{0x00, 0x9E, 0x73, 0xFF},
	color.RGBA{0xCC, 0x79, 0xA7, 0xFF},
	color.RGBA{0xE6, 0x9F, 0x00, 0xFF},
	color.RGBA{0x56, 0xB4, 0xE9, 0xFF},
}

const plotWidth = 9 * vg.Inch

// svg draws a plot. The XML header is left out: the text goes into HTML.
func svg(p *plot.Plot, height vg.Length) (string, error) {
	canvas, err := p.WriterTo(plotWidth, height, "svg")
	if err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	text := b.Bytes()
	if i := bytes.Index(text, []byte("<svg")); i > 0 {
		text = text[i:]
	}
	return string(text), nil
}

var _ = vgsvg.New // the format that plot.WriterTo finds by name

// bar is one horizontal bar, cut into parts.
type bar struct {
	name  string
	parts []float64
}

// limit is a vertical line over the bars.
type limit struct {
	name string
	at   float64
}

// legendRoom keeps the right end of the bars free for the legend.
const legendRoom = 1.35

// barPlot draws stacked horizontal bars, the first at the top.
func barPlot(head, axis string, bars []bar, parts []string, limits []limit) (string, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text = head, axis
	p.X.Min = 0
	names := make([]string, len(bars))
	for i, b := range bars {
		names[len(bars)-1-i] = b.name
	}
	var below *plotter.BarChart
	p.X.Max = legendRoom * longest(bars, limits)
	for part := range max(len(parts), 1) {
		values := make(plotter.Values, len(bars))
		for i, b := range bars {
			values[len(bars)-1-i] = b.parts[part]
		}
		chart, err := plotter.NewBarChart(values, 14)
		if err != nil {
			return "", fmt.Errorf("report: %w", err)
		}
		chart.Horizontal, chart.Color, chart.LineStyle.Width = true, palette[part], 0
		if below != nil {
			chart.StackOn(below)
		}
		below = chart
		p.Add(chart)
		if len(parts) > 0 {
			p.Legend.Add(parts[part], chart)
		}
	}
	for i, l := range limits {
		line, err := plotter.NewLine(plotter.XYs{{X: l.at, Y: -0.5}, {X: l.at, Y: float64(len(bars)) - 0.5}})
		if err != nil {
			return "", fmt.Errorf("report: %w", err)
		}
		line.Color, line.Width, line.Dashes = palette[(i+1)%len(palette)], 1.5, []vg.Length{5, 3}
		p.Add(line)
		p.Legend.Add(l.name, line)
	}
	p.NominalY(names...)
	p.Legend.Top = false
	return svg(p, vg.Length(len(bars))*26+110)
}

// longest is how far bars and limits reach.
func longest(bars []bar, limits []limit) float64 {
	most := 0.0
	for _, b := range bars {
		sum := 0.0
		for _, part := range b.parts {
			sum += part
		}
		most = max(most, sum)
	}
	for _, l := range limits {
		most = max(most, l.at)
	}
	return most
}

// curve is a named line.
type curve struct {
	name   string
	points plotter.XYs
	dashed bool
}

// curvePlot draws lines; both axes may be logarithmic.
func curvePlot(head, x, y string, curves []curve, logX bool) (string, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = head, x, y
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	if logX {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, percentileTicks{}
	}
	p.Add(plotter.NewGrid())
	shade := -1
	for _, c := range curves {
		if !c.dashed {
			shade++
		}
		if len(c.points) == 0 {
			continue
		}
		line, err := plotter.NewLine(c.points)
		if err != nil {
			return "", fmt.Errorf("report: %w", err)
		}
		line.Color, line.Width = palette[max(shade, 0)%len(palette)], 1.6
		if c.dashed {
			line.Dashes = []vg.Length{4, 3}
		}
		p.Add(line)
		p.Legend.Add(c.name, line)
	}
	p.Legend.Top, p.Legend.Left = true, true
	return svg(p, 5*vg.Inch)
}

// percentileTicks name the places of an axis of 1 ÷ (1 − quantile).
type percentileTicks struct{}

func (percentileTicks) Ticks(least, most float64) []plot.Tick {
	var ticks []plot.Tick
	for _, t := range []plot.Tick{{Value: 1, Label: "0"}, {Value: 2, Label: "50 %"}, {Value: 10, Label: "90 %"}, {Value: 100, Label: "99 %"}, {Value: 1000, Label: "99.9 %"}, {Value: 1e4, Label: "99.99 %"}, {Value: 1e5, Label: "99.999 %"}} {
		if t.Value >= least && t.Value <= most {
			ticks = append(ticks, t)
		}
	}
	return ticks
}

// leastLatency keeps a logarithmic axis off zero.
const leastLatency = 0.1

// latencyCurves are p50 (whole) and p99 (dashed) of each subject's sweep.
func latencyCurves(d *suite.Document) []curve {
	var all []curve
	for _, s := range d.Sweeps {
		var middle, tail plotter.XYs
		for _, step := range s.Steps {
			if step.Void != "" || step.LatencyUS.P50 <= 0 {
				continue
			}
			middle = append(middle, plotter.XY{X: step.Offered / 1000, Y: max(step.LatencyUS.P50, leastLatency)})
			tail = append(tail, plotter.XY{X: step.Offered / 1000, Y: max(step.LatencyUS.P99, leastLatency)})
		}
		name := title(d, s.Subject)
		all = append(all, curve{name: name + ", p50", points: middle}, curve{name: name + ", p99", points: tail, dashed: true})
	}
	return all
}

// hdrCurves are the distributions at the equal load, all good rounds together.
func hdrCurves(d *suite.Document) ([]curve, error) {
	var order []string
	merged := map[string]*hdrhistogram.Histogram{}
	for _, run := range d.Latency {
		if run.Load != "equal" || run.Share != 0.5 || run.Void != "" || run.HDR == "" {
			continue
		}
		h, err := hdrhistogram.Decode([]byte(run.HDR))
		if err != nil {
			return nil, fmt.Errorf("report: histogram of %s: %w", run.Subject, err)
		}
		if sum, ok := merged[run.Subject]; ok {
			sum.Merge(h)
			continue
		}
		merged[run.Subject] = h
		order = append(order, run.Subject)
	}
	var all []curve
	for _, id := range order {
		all = append(all, curve{name: title(d, id), points: percentiles(merged[id])})
	}
	return all, nil
}

// percentiles samples a histogram (of nanoseconds) evenly along 1 ÷ (1 − quantile), as
// far as it has samples for.
func percentiles(h *hdrhistogram.Histogram) plotter.XYs {
	var points plotter.XYs
	if h.TotalCount() == 0 {
		return points
	}
	most := math.Log10(float64(h.TotalCount()))
	for exponent := 0.0; exponent <= most; exponent += 0.05 {
		x := math.Pow(10, exponent)
		nanos := h.ValueAtQuantile(100 * (1 - 1/x))
		points = append(points, plotter.XY{X: x, Y: max(float64(nanos)/1000, leastLatency)})
	}
	return points
}
