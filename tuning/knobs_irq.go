package tuning

import (
	"fmt"
	"slices"
	"strings"
)

var irqKnobs = []*Knob{
	{
		Name: "irq.balance", Group: "irq", Roles: bypassing,
		What:     "irqbalance, where it runs: it is told to keep off the interface's interrupts and the shards' CPUs.",
		Why:      "irqbalance would move the interrupts back within ten seconds",
		Source:   "irqbalance(1), --banirq and IRQBALANCE_BANNED_CPULIST; ScyllaDB's perftune does the same",
		Tradeoff: "None: it goes on balancing everything else over the other CPUs.",
		Measure:  "the interface's lines in /proc/interrupts grow in one column each.",
		Scan: func(f *Facts, _ *Options) []Item {
			return []Item{{Setting: Setting{KindBalancer, f.Balancer.Settings}}}
		},
		Want: wantBalancer,
		Shell: `if pidof irqbalance >/dev/null 2>&1; then
	note "irqbalance runs: stop it, or start it with IRQBALANCE_BANNED_CPULIST=$(echo "$SHARD_CPUS $IRQ_CPUS" | tr ' ' ',') and --banirq for each interrupt of $NIC"
fi`,
	},
	{
		Name: "irq.affinity", Group: "irq", Roles: bypassing,
		What:     "Which CPU takes the interrupts of a queue: the second thread of the shard's core, or the shard's own CPU where there is none.",
		Why:      "what the interrupt brings in lands in the cache that the shard reads from",
		Source:   "Documentation/core-api/irq/irq-affinity.rst; Documentation/networking/scaling.rst, \"RSS IRQ configuration\"",
		Tradeoff: "The second thread takes some of the core's units when interrupts are many. Interrupts that the kernel manages itself cannot be moved.",
		Measure:  "/proc/interrupts; perf stat -C on the shard's CPU: context switches and cache misses fall.",
		Scan: func(f *Facts, _ *Options) []Item {
			if f.NIC == nil {
				return nil
			}
			list := make([]Item, len(f.NIC.IRQs))
			for i, irq := range f.NIC.IRQs {
				list[i] = Item{Setting{KindIRQ, f.NIC.Name + " " + irq.Name}, irq.Queue}
			}
			return list
		},
		Want: func(in *Inputs, i Item) Want {
			if i.N < len(in.Layout.IRQs) {
				return Want{Value: fmt.Sprint(in.Layout.IRQs[i.N])}
			}
			return Want{Value: FormatCPUs(in.Layout.Control)}
		},
		Shell: `for irq in $(nic_irqs); do
	cpu=$(word "$((${irq#*:} + 1))" "$IRQ_CPUS")
	[ -n "$cpu" ] && put "/proc/irq/${irq%%:*}/smp_affinity_list" "$cpu"
done`,
	},
}

// The lines of irqbalance's settings that are ours.
const bannedCPUs, balancerArgs = "IRQBALANCE_BANNED_CPULIST=", "IRQBALANCE_ARGS="

func wantBalancer(in *Inputs, i Item) Want {
	b := in.Facts.Balancer
	switch {
	case b.PID == 0:
		return leave("irqbalance does not run")
	case !b.Systemd:
		return leave("irqbalance runs (process %d) and there is no systemd to restart it by: stop it, or it moves interrupts back", b.PID)
	}
	now := in.now(i.Setting)
	var kept []string
	args := ""
	if now != absent {
		for line := range strings.Lines(strings.TrimPrefix(now, "=")) {
			line = strings.TrimRight(line, "\n")
			if text, ok := strings.CutPrefix(line, balancerArgs); ok {
				args = strings.Trim(text, `"'`)
			} else if !strings.HasPrefix(line, bannedCPUs) {
				kept = append(kept, line)
			}
		}
	}
	words := slices.DeleteFunc(strings.Fields(args), func(w string) bool { return strings.HasPrefix(w, "--banirq") })
	if in.Facts.NIC != nil {
		for _, irq := range in.Facts.NIC.IRQs {
			words = append(words, fmt.Sprintf("--banirq=%d", irq.Number))
		}
	}
	kept = append(kept, fmt.Sprintf("%s%q", bannedCPUs, FormatCPUs(in.busy())))
	kept = append(kept, fmt.Sprintf("%s%q", balancerArgs, strings.Join(words, " ")))
	return Want{Value: "=" + strings.Join(kept, "\n") + "\n"}
}

// busy lists the CPUs on which nothing else should run.
func (in *Inputs) busy() []int {
	cpus := slices.Concat(in.Layout.Shards, in.Layout.IRQs, in.Layout.Idle)
	// A machine with one core shares it: nothing can be kept off.
	return slices.DeleteFunc(cpus, func(cpu int) bool { return slices.Contains(in.Layout.Control, cpu) })
}
