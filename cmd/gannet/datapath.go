package main

import (
	"fmt"
	"io"
	"net"
	"strings"

	"gannet/dataplane/port"
	"gannet/dataplane/xsk"
	"gannet/tuning"
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
	Interface   string     `json:"interface"`
	Driver      string     `json:"driver"`
	Kernel      string     `json:"kernel"`
	MTU         int        `json:"mtu_bytes"`
	Up          bool       `json:"up"`
	Node        int        `json:"numa_node"` // -1 = none, or unknown
	Queues      int        `json:"queues"`
	MaxQueues   int        `json:"max_queues"`
	Known       bool       `json:"features_known"` // false: the kernel does not tell, and rungs must be tried
	Native      bool       `json:"native"`
	ZeroCopy    bool       `json:"zerocopy"`
	MultiBuffer bool       `json:"multi_buffer"`
	Segments    int        `json:"zerocopy_max_segments"`
	FlowRules   int        `json:"flow_rules"` // how many there is room for
	Ntuple      string     `json:"ntuple"`     // on, off or unsupported
	Rungs       []rungJSON `json:"rungs"`
	Takes       string     `json:"takes"` // the rung that auto would take
	Faults      []string   `json:"kernel_faults"`
	Help        []string   `json:"help"` // commands that would better something, each with what for
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
	f := r.Features
	out := interfaceJSON{
		Interface: r.Interface, Driver: r.Driver, Kernel: r.Kernel, MTU: r.MTU, Up: r.Up, Node: -1,
		Queues: r.Queues, MaxQueues: r.MaxQueues, Known: f.Known, Native: f.Native && f.Redirect, ZeroCopy: f.ZeroCopy,
		MultiBuffer: f.MultiBuffer, Segments: f.ZeroCopyMaxSegments, Ntuple: "unsupported",
		Faults: kernelFaults(r.Kernel), Help: []string{},
	}
	if nic, filter, err := tuning.LookAt(tuning.This(), r.Interface); err == nil {
		out.describeCard(nic, filter)
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
	for _, rung := range out.Rungs {
		if rung.Supported {
			out.Takes = rung.Rung
			break
		}
	}
	out.Help = append(out.Help, out.advise(r)...)
	return out
}

// describeCard adds what only the card knows.
func (i *interfaceJSON) describeCard(nic *tuning.NIC, filter tuning.Feature) {
	i.Node, i.FlowRules = nic.Node, nic.FlowSlots
	switch {
	case filter.On:
		i.Ntuple = "on"
	case !filter.Fixed && nic.FlowErr == nil:
		i.Ntuple = "off"
	}
}

func printInterfaces(w io.Writer, reports []interfaceJSON) error {
	var b strings.Builder
	for n, r := range reports {
		if n > 0 {
			b.WriteString("\n")
		}
		r.print(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (i *interfaceJSON) print(b *strings.Builder) {
	fmt.Fprintf(b, "%s: driver %s, %d of %d queues, MTU %d, %s, Linux %s\n", i.Interface, orNone(i.Driver), i.Queues, i.MaxQueues, i.MTU, memoryNode(i.Node), i.Kernel)
	if i.Known {
		fmt.Fprintf(b, "  XDP: native %s, zero-copy %s (%d descriptors a packet), multi-buffer %s; flow rules: %s\n",
			yesNo(i.Native), yesNo(i.ZeroCopy), i.Segments, yesNo(i.MultiBuffer), flowRules(i))
	} else {
		fmt.Fprintf(b, "  XDP: this kernel does not tell what the driver can (Linux 6.3 does): the rungs are tried at start; flow rules: %s\n", flowRules(i))
	}
	for _, rung := range i.Rungs {
		verdict := "yes"
		if !rung.Supported {
			verdict = "no: " + rung.WhyNot
		}
		if rung.Rung == i.Takes {
			verdict += "  <== would be taken"
		}
		fmt.Fprintf(b, "  %-13s %s\n", rung.Rung, verdict)
	}
	for _, fault := range i.Faults {
		fmt.Fprintf(b, "  fault:        %s\n", fault)
	}
	for _, help := range i.Help {
		fmt.Fprintf(b, "  help:         %s\n", help)
	}
}

func memoryNode(node int) string {
	if node < 0 {
		return "no memory node"
	}
	return fmt.Sprintf("memory node %d", node)
}

func flowRules(i *interfaceJSON) string {
	if i.Ntuple == "unsupported" {
		return "unsupported (clients learn their queue)"
	}
	return fmt.Sprintf("room for %d, filter %s", i.FlowRules, i.Ntuple)
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
