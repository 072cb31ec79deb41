package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"gannet/loadgen/bench"
	"gannet/wire"
)

// testCase is one combination of what varies.
type testCase struct {
	Datapath Datapath `json:"datapath"`
	MTU      int      `json:"mtu"`
	Layout   Layout   `json:"layout"`
	Workload Workload `json:"workload"`
}

// Outcome is what became of a case.
type Outcome struct {
	testCase
	Rung     string  `json:"rung"`      // that the node took
	LineRate float64 `json:"line_rate"` // requests a second that fill the link
	Highest  float64 `json:"highest"`   // requests a second, loss below 0.1 %
	// Gbit is what the replies to them take on the link, framing included.
	Gbit    float64       `json:"gbit"`
	Limited bool          `json:"limited"` // by the generator
	Steps   []OutcomeStep `json:"steps"`
	Profile string        `json:"profile,omitempty"` // perf's report of the server's CPUs
	Void    string        `json:"void,omitempty"`
}

// OutcomeStep is one rate of the sweep.
type OutcomeStep struct {
	Offered   float64           `json:"offered"`
	Rate      float64           `json:"rate"`
	KeyRate   float64           `json:"key_rate"`
	LossShare float64           `json:"loss_share"`
	LatencyUS bench.Percentiles `json:"latency_us"`
	Generator float64           `json:"generator"`
	Void      string            `json:"void,omitempty"`
}

func newReader(b []byte) io.Reader { return bytes.NewReader(b) }

func (inv *Inventory) cases() []testCase {
	var all []testCase
	for _, mtu := range inv.MTUs { // outermost: a change of MTU may reset the link
		for _, layout := range inv.Layouts {
			for _, datapath := range inv.Datapaths {
				for _, w := range inv.Workloads {
					all = append(all, testCase{datapath, mtu, layout, w})
				}
			}
		}
	}
	return all
}

func (c *testCase) String() string {
	return fmt.Sprintf("%s, MTU %d, %s, %s", c.Datapath.Name, c.MTU, c.Layout.Name, c.Workload.Name)
}

// What a datagram takes on an Ethernet link beside its payload: preamble, header,
// check sequence, gap; IPv4 and UDP headers.
const (
	ethernetBytes = 8 + 14 + 4 + 12
	datagramBytes = ethernetBytes + 20 + 8
)

// replyLinkBytes is what the replies to one request take on the link.
func (c *testCase) replyLinkBytes() float64 {
	w := c.Workload
	op := wire.ReplyOpHeaderBytes + (w.ValueBytes+wire.AlignBytes-1)/wire.AlignBytes*wire.AlignBytes
	room := c.MTU - 28 - wire.ReplyHeaderBytes
	perDatagram := max(room/op, 1)
	datagrams := (w.KeysPerRequest + perDatagram - 1) / perDatagram
	return float64(w.KeysPerRequest*op + datagrams*(datagramBytes+wire.ReplyHeaderBytes))
}

// lineRate is the rate at which the replies fill the link.
func (c *testCase) lineRate(gbit float64) float64 { return gbit * 1e9 / 8 / c.replyLinkBytes() }

func (c *testCase) rateSteps(inv *Inventory) bench.RateSteps {
	last := c.lineRate(inv.LinkGbit)
	if inv.MostRate > 0 {
		last = min(last, inv.MostRate)
	}
	step := last / float64(inv.Steps)
	return bench.RateSteps{First: step, Step: step, Last: last * 1.0001} // the last one is in, however it rounds
}

const dataPort = 9800

// measure runs one case.
func (s *session) measure(ctx context.Context, c testCase) (*Outcome, error) {
	o := &Outcome{testCase: c, LineRate: c.lineRate(s.inv.LinkGbit)}
	for _, h := range []*host{s.server, s.client} {
		if err := h.setMTU(ctx, c.MTU); err != nil {
			return o, err
		}
	}
	n, err := startNode(ctx, s.server, s.inv, &c)
	if err != nil {
		return o, err
	}
	o.Rung = n.rung
	if c.Datapath.Expect != "" && n.rung != c.Datapath.Expect {
		o.Void = fmt.Sprintf("the node took %s instead of %s: `gannet datapath probe %s` says why", n.rung, c.Datapath.Expect, s.server.Interface)
		return o, n.stop()
	}
	return o, errors.Join(s.load(ctx, o), n.stop())
}

// load raises the rate, while perf looks at the server.
func (s *session) load(ctx context.Context, o *Outcome) error {
	cpus, err := cpuList(o.Layout.ClientCPUs)
	if err != nil {
		return err
	}
	step := time.Duration(s.inv.Seconds * float64(time.Second))
	spec := &offer{
		Server: netip.AddrPortFrom(s.server.Address, dataPort), Datapath: bench.UDP, CPUs: cpus,
		Workload: o.Workload, Steps: o.rateSteps(s.inv), Step: step,
	}
	if o.Datapath.Datapath == "xdp" {
		spec.Datapath, spec.Interface = bench.XDP, s.client.Interface
	}
	var profile <-chan profiled
	if s.inv.Perf {
		profile = s.server.profile(ctx, o.Layout.ServerCPUs, time.Duration(s.inv.Steps)*step/2)
	}
	found, err := s.client.offered(ctx, spec)
	if profile != nil {
		p := <-profile
		o.Profile = p.text
		err = errors.Join(err, p.err)
	}
	if err != nil {
		return err
	}
	o.take(found)
	return nil
}

func (o *Outcome) take(found *bench.SweepResult) {
	o.Highest, o.Limited = found.Highest, found.Limited
	o.Gbit = found.Highest * o.replyLinkBytes() * 8 / 1e9
	for _, step := range found.Steps {
		o.Steps = append(o.Steps, OutcomeStep{
			Offered: step.OfferedRate, Rate: step.Rate, KeyRate: step.KeyRate, LossShare: step.LossShare,
			LatencyUS: step.LatencyUS, Generator: step.Utilisation, Void: step.VoidReason,
		})
	}
	if found.Highest == 0 {
		o.Void = "no rate was sustained, not even the lowest"
	}
}

// profiled is what perf saw.
type profiled struct {
	text string
	err  error
}

// profileLines is how much of perf's report is kept.
const profileLines = 60

// profile has perf sample the server's CPUs for a time.
func (h *host) profile(ctx context.Context, cpus string, span time.Duration) <-chan profiled {
	done := make(chan profiled, 1)
	data := quote(h.path("perf.data"))
	script := fmt.Sprintf("perf record -q -g -C %s -o %s -- sleep %.2f >/dev/null && perf report --stdio -q --no-children -g none -s comm,dso,symbol -i %s 2>/dev/null | sed 's/[[:space:]-]*$//' | grep -v '^$' | head -n %d",
		quote(cpus), data, span.Seconds(), data, profileLines)
	go func() {
		out, err := h.run(ctx, nil, script)
		if err != nil {
			err = fmt.Errorf("perf: %w: install it on the server, or set perf to false", err)
		}
		done <- profiled{string(out), err}
	}()
	return done
}
