package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// HostFacts is what was seen on a host before the start.
type HostFacts struct {
	Name        string   `json:"name"`
	Kernel      string   `json:"kernel"`
	CPU         string   `json:"cpu"`
	CPUs        int      `json:"cpus"`
	Driver      string   `json:"driver"`
	SpeedMbit   int      `json:"speed_mbit"` // 0: the driver does not tell
	MTU         int      `json:"mtu"`
	NUMANode    int      `json:"numa_node"`
	Rungs       []string `json:"rungs"` // supported
	KernelFault []string `json:"kernel_faults"`
	Pending     int      `json:"pending"` // settings that `gannet tune plan` would change
	Problems    []string `json:"problems"`
}

var errCheck = errors.New("a host is not ready")

// probe is what `gannet datapath probe -o json` prints.
type probe struct {
	Driver   string   `json:"driver"`
	Kernel   string   `json:"kernel"`
	MTUBytes int      `json:"mtu_bytes"`
	NUMANode int      `json:"numa_node"`
	Faults   []string `json:"kernel_faults"`
	Up       bool     `json:"up"`
	Rungs    []struct {
		Rung      string `json:"rung"`
		Supported bool   `json:"supported"`
		WhyNot    string `json:"why_not"`
	} `json:"rungs"`
}

// look gathers the facts of a host. gannet is its path there.
func (h *host) look(ctx context.Context, inv *Inventory, role string) (*HostFacts, error) {
	out, err := h.run(ctx, nil, quote(h.path("gannet"), "datapath", "probe", h.Interface, "-o", "json"))
	if err != nil {
		return nil, err
	}
	var seen []probe
	if err := json.Unmarshal(out, &seen); err != nil || len(seen) != 1 {
		return nil, errors.Join(fmt.Errorf("%s: the probe said %q", h.name, out), err)
	}
	p := seen[0]
	facts := &HostFacts{Name: h.name, Driver: p.Driver, Kernel: p.Kernel, MTU: p.MTUBytes, NUMANode: p.NUMANode, KernelFault: p.Faults}
	for _, r := range p.Rungs {
		if r.Supported {
			facts.Rungs = append(facts.Rungs, r.Rung)
		}
	}
	if !p.Up {
		facts.Problems = append(facts.Problems, h.Interface+" is down")
	}
	if err := h.lookAround(ctx, facts); err != nil {
		return nil, err
	}
	if err := h.lookAtTuning(ctx, facts, role); err != nil {
		return nil, err
	}
	facts.judge(inv)
	return facts, nil
}

// lookAround reads what any shell can tell. What is not told stays empty.
func (h *host) lookAround(ctx context.Context, facts *HostFacts) error {
	out, err := h.run(ctx, nil, "nproc; cat /sys/class/net/"+quote(h.Interface)+"/speed 2>/dev/null || echo 0; grep -m1 'model name' /proc/cpuinfo || echo :")
	if err != nil {
		return err
	}
	lines := strings.SplitN(strings.TrimSpace(string(out)), "\n", 3)
	if len(lines) != 3 {
		return fmt.Errorf("%s: unexpected answer %q", h.name, out)
	}
	facts.CPUs, _ = strconv.Atoi(strings.TrimSpace(lines[0]))
	facts.SpeedMbit, _ = strconv.Atoi(strings.TrimSpace(lines[1]))
	facts.SpeedMbit = max(facts.SpeedMbit, 0)
	_, model, _ := strings.Cut(lines[2], ":")
	facts.CPU = strings.TrimSpace(model)
	return nil
}

func (h *host) lookAtTuning(ctx context.Context, facts *HostFacts, role string) error {
	out, err := h.run(ctx, nil, quote(h.path("gannet"), "tune", "plan", "--role", role, "--nic", h.Interface, "-o", "json"))
	if err != nil {
		return err
	}
	var plan struct {
		Pending int `json:"pending"`
	}
	if err := json.Unmarshal(out, &plan); err != nil {
		return fmt.Errorf("%s: tune plan: %w", h.name, err)
	}
	facts.Pending = plan.Pending
	return nil
}

// judge notes what stands in the way of good figures.
func (f *HostFacts) judge(inv *Inventory) {
	problem := func(format string, args ...any) { f.Problems = append(f.Problems, fmt.Sprintf(format, args...)) }
	if want := int(inv.LinkGbit * 1000); f.SpeedMbit > 0 && f.SpeedMbit < want {
		problem("the link has %d Mbit/s, the inventory says %d", f.SpeedMbit, want)
	}
	if inv.Checks.Strict && f.Pending > 0 {
		problem("`gannet tune plan` would change %d settings: run `gannet tune apply`, or set checks.strict to false", f.Pending)
	}
	for _, fault := range f.KernelFault {
		problem("kernel: %s", fault)
	}
	for _, l := range inv.Layouts {
		list := l.ServerCPUs
		if f.Name == "client" {
			list = l.ClientCPUs
		}
		cpus, _ := cpuList(list) // checked with the inventory
		for _, cpu := range cpus {
			if f.CPUs > 0 && cpu >= f.CPUs {
				problem("layout %s wants CPU %d of %d", l.Name, cpu, f.CPUs)
				break
			}
		}
	}
}

// checkHosts looks at both and refuses when there are problems.
func checkHosts(ctx context.Context, server, client *host, inv *Inventory) ([]*HostFacts, error) {
	var all []*HostFacts
	var problems []error
	for _, h := range []struct {
		*host
		role string
	}{{server, "dataplane"}, {client, "generator"}} {
		facts, err := h.look(ctx, inv, h.role)
		if err != nil {
			return all, err
		}
		all = append(all, facts)
		for _, p := range facts.Problems {
			problems = append(problems, fmt.Errorf("%w: %s: %s", errCheck, h.name, p))
		}
	}
	return all, errors.Join(problems...)
}
