package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"

	"gannet/benchmarks/suite"
	"gannet/loadgen/bench"
	"gannet/test/rows"
)

// document has a bit of everything, and texts that want escaping.
func document(t *testing.T) *suite.Document {
	t.Helper()
	h := hdrhistogram.New(1, 1e10, 3)
	for i := range int64(10_000) {
		if err := h.RecordValue(1000 + i*100); err != nil {
			t.Fatal(err)
		}
	}
	hdr, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		t.Fatal(err)
	}
	d := &suite.Document{Servers: map[string]suite.Server{"memcached": {Version: "1.6 <b>", Config: "-t 1 </pre><script>"}}}
	d.Add(rows.Row{ID: "get1k", Value: 0.2, N: 9, Rounds: 5, Spread: 0.01, Unit: "ratio", Note: "a | b"}.AtMost(0.25))
	d.Add(rows.Row{ID: "echo", Value: 0.7, N: 9, Unit: "ratio"}.AtLeast(0.8))
	d.Add(rows.Row{ID: "seen", Value: 7, Unit: "µs"}.Reported())
	d.Void("lost", errors.New("nothing came back"))
	for _, id := range []string{"gannet-get-1k", "memcached-udp-get-1k", "reflector-1k"} {
		d.Subjects = append(d.Subjects, suite.Subject{ID: id, Title: "title of " + id, Protocol: bench.Gannet, KeysPerRequest: 1, ValueBytes: 1024})
		d.Rounds = append(d.Rounds, suite.Round{Subject: id, Nanos: 3000, Poll: 1000, User: 1500, System: 500})
		d.Rounds = append(d.Rounds, suite.Round{Subject: id, Nanos: 9e9, Void: "stolen"})
		d.Latency = append(d.Latency, suite.LatencyRun{Subject: id, Load: "equal", Share: 0.5, HDR: string(hdr)})
		d.Sweeps = append(d.Sweeps, suite.Sweep{Subject: id, Highest: 5e4, Steps: []suite.SweepStep{
			{Offered: 1e4, LatencyUS: bench.Percentiles{P50: 20, P99: 90}}, {Offered: 2e4, LatencyUS: bench.Percentiles{P50: 30, P99: 200}},
		}})
	}
	return d
}

func TestMarkdownShowsWhatWasMissed(t *testing.T) {
	var b bytes.Buffer
	if err := Markdown(&b, document(t)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| get1k | a \\| b | 0.2", "≤ 0.25 | yes |", "≥ 0.8 | **no** |", "| lost | nothing came back | void |", "| title of gannet-get-1k, GET of 1024 B | 1 | 3.00 | 1.00 | 333,333 |"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "seen") {
		t.Error("a row that is only reported stands among the goals")
	}
}

func TestGoalsDirection(t *testing.T) {
	for want, row := range map[string]rows.Row{
		"≤ 2": rows.Row{Value: 1}.AtMost(2), "≤ 3": rows.Row{Value: 4}.AtMost(3), "≤ 0": rows.Row{Value: 0}.AtMost(0),
		"≥ 4": rows.Row{Value: 5}.AtLeast(4), "≥ 5": rows.Row{Value: 4}.AtLeast(5),
	} {
		if got := goal(row); got != want {
			t.Errorf("%+v: %s, want %s", row, got, want)
		}
	}
}

// TestPageIsSelfContained: nothing is fetched, everything is escaped, and the plots are
// well-formed.
func TestPageIsSelfContained(t *testing.T) {
	var b bytes.Buffer
	if err := HTML(&b, document(t)); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, never := range []string{"src=", "href=", "url(", "<script", "@import", "</pre><script>"} {
		if strings.Contains(page, never) {
			t.Errorf("the page has %q", never)
		}
	}
	plots := strings.Count(page, "<svg")
	if plots != 4 {
		t.Errorf("%d plots, want throughput, latency, percentiles and stages", plots)
	}
	for i, rest := 0, page; i < plots; i++ {
		start, end := strings.Index(rest, "<svg"), strings.Index(rest, "</svg>")
		wellFormed(t, rest[start:end+len("</svg>")])
		rest = rest[end+1:]
	}
}

func TestThroughputStandsAlone(t *testing.T) {
	svg, err := Throughput(document(t))
	if err != nil {
		t.Fatal(err)
	}
	wellFormed(t, svg)
	if !strings.HasPrefix(svg, "<svg") || !strings.Contains(svg, "title of gannet-get-1k") {
		t.Errorf("not the plot of throughput: %.80s", svg)
	}
	if _, err := Throughput(&suite.Document{}); err == nil {
		t.Error("nothing measured, and no complaint")
	}
}

func wellFormed(t *testing.T, svg string) {
	t.Helper()
	for dec := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := dec.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("plot: %v", err)
		}
	}
}

func TestPercentilesReachAsFarAsThereAreSamples(t *testing.T) {
	h := hdrhistogram.New(1, 1e10, 3)
	for range 1000 {
		if err := h.RecordValue(5000); err != nil {
			t.Fatal(err)
		}
	}
	points := percentiles(h)
	if last := points[len(points)-1]; last.X > 1000.1 || last.X < 900 || last.Y < 4.9 || last.Y > 5.1 {
		t.Errorf("last point %+v", last)
	}
	if len(percentiles(hdrhistogram.New(1, 10, 3))) != 0 {
		t.Error("points without samples")
	}
}
