package main

import (
	"fmt"
	"io"
	"net"
	"strings"

	"gannet/dataplane/port"
	"gannet/dataplane/xsk"
)

type datapathCmd struct {
	Probe probeCmd `cmd:"" help:"Say for each network interface which rungs of the datapath ladder it supports, and why not."`
}

type probeCmd struct {
	Interfaces []string     `arg:"" optional:"" help:"Interfaces; without any, all of this machine."`
	Output     outputFormat `short:"o" default:"text" help:"text or json."`
}

// Help is the text below the flags' summary.
func (probeCmd) Help() string {
	return `Only looks: nothing is attached. The rungs, best first: xdp-zerocopy, xdp-copy, xdp-generic, udp.

Examples:
  gannet datapath probe
  gannet datapath probe eth1 -o json`
}

// interfaceJSON is a probe's outcome.
type interfaceJSON struct {
	Interface string     `json:"interface"`
	Driver    string     `json:"driver"`
	Kernel    string     `json:"kernel"`
	MTU       int        `json:"mtu_bytes"`
	Up        bool       `json:"up"`
	Queues    int        `json:"queues"`
	MaxQueues int        `json:"max_queues"`
	Segments  int        `json:"zerocopy_max_segments"`
	Rungs     []rungJSON `json:"rungs"`
}

type rungJSON struct {
	Rung      string `json:"rung"`
	Supported bool   `json:"supported"`
	WhyNot    string `json:"why_not,omitempty"`
}

// Run probes interfaces.
func (c *probeCmd) Run(env *Env) error {
	names := c.Interfaces
	if len(names) == 0 {
		all, err := net.Interfaces()
		if err != nil {
			return fmt.Errorf("list the network interfaces: %w", err)
		}
		for _, i := range all {
			names = append(names, i.Name)
		}
	}
	reports := make([]interfaceJSON, 0, len(names))
	for _, name := range names {
		report, err := xsk.Probe(name)
		if err != nil {
			return fmt.Errorf("%w; `ip link` lists the interfaces", err)
		}
		reports = append(reports, describeInterface(&report))
	}
	if c.Output == outputJSON {
		return writeJSON(env, reports)
	}
	return printInterfaces(env.Stdout, reports)
}

func describeInterface(r *xsk.Report) interfaceJSON {
	out := interfaceJSON{
		Interface: r.Interface, Driver: r.Driver, Kernel: r.Kernel, MTU: r.MTU, Up: r.Up,
		Queues: r.Queues, MaxQueues: r.MaxQueues, Segments: r.Features.ZeroCopyMaxSegments,
	}
	for _, rung := range r.Rungs {
		line := rungJSON{Rung: rung.Rung.String(), Supported: rung.Err == nil}
		if rung.Err != nil {
			line.WhyNot = rung.Err.Error()
		}
		out.Rungs = append(out.Rungs, line)
	}
	// Kernel sockets work wherever there is a network.
	out.Rungs = append(out.Rungs, rungJSON{Rung: port.RungUDP.String(), Supported: true})
	return out
}

func printInterfaces(w io.Writer, reports []interfaceJSON) error {
	var b strings.Builder
	for _, r := range reports {
		fmt.Fprintf(&b, "%s: driver %s, %d of %d queues, MTU %d, Linux %s\n", r.Interface, orNone(r.Driver), r.Queues, r.MaxQueues, r.MTU, r.Kernel)
		for _, rung := range r.Rungs {
			verdict := "yes"
			if !rung.Supported {
				verdict = "no: " + rung.WhyNot
			}
			fmt.Fprintf(&b, "  %-13s %s\n", rung.Rung, verdict)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
