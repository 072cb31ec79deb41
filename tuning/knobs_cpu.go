package tuning

import (
	"fmt"
	"slices"
)

// wakeLongestMicros is how long a CPU that runs a shard may take to wake.
const wakeLongestMicros = 10

var cpuKnobs = []*Knob{
	{
		Name: "cpu.governor", Group: "cpu", Roles: everywhere,
		What:     "The frequency governor: performance, on the CPUs of shards and interrupts (a client: on all).",
		Why:      "a governor that follows the load answers the first requests of a burst at a third of the speed",
		Source:   "tuned, profiles latency-performance and network-latency; ScyllaDB's setup",
		Tradeoff: "Some tens of watts a socket when idle.",
		Measure:  "turbostat: Bzy_MHz on the shards' CPUs; p99 of gannet replay at light load.",
		Scan:     scanCPUs("cpufreq/scaling_governor"), Want: onBusyCPUs("performance"),
		Shell: `for cpu in $SHARD_CPUS $IRQ_CPUS; do put "/sys/devices/system/cpu/cpu$cpu/cpufreq/scaling_governor" performance; done`,
	},
	{
		Name: "cpu.idle_states", Group: "cpu", Roles: everywhere,
		What:     "Idle states that take more than 10 µs to leave: off, on the CPUs of shards and interrupts (a client: on all).",
		Why:      "an idle shard sleeps in poll(), and waking from C6 takes 100 µs and more of the 1 ms there is",
		Source:   "tuned, profile network-latency (force_latency=cstate.id_no_zero:1|3); Documentation/admin-guide/pm/cpuidle.rst",
		Tradeoff: "Idle power; cores that never rest leave less turbo to the others.",
		Measure:  "p50 of one request in flight (gannet ping): it falls by the state's latency; turbostat, columns C6%.",
		Scan: func(f *Facts, _ *Options) []Item {
			var list []Item
			for _, cpu := range f.Topology.CPUs {
				for _, s := range f.Topology.IdleStates {
					if s.LatencyMicros > wakeLongestMicros {
						path := fmt.Sprintf("%s/cpu%d/cpuidle/state%d/disable", cpuDir, cpu.ID, s.Number)
						list = append(list, Item{Setting{KindFile, path}, cpu.ID})
					}
				}
			}
			return list
		},
		Want: onBusyCPUs("1"),
		Shell: `for cpu in $SHARD_CPUS $IRQ_CPUS; do
	for state in "/sys/devices/system/cpu/cpu$cpu/cpuidle"/state*; do
		[ -e "$state/latency" ] && [ "$(cat "$state/latency")" -gt 10 ] && put "$state/disable" 1
	done
done`,
	},
	sysctl(Knob{
		Name: "cpu.nmi_watchdog", Group: "cpu", Roles: bypassing,
		What:     "kernel.nmi_watchdog: 0.",
		Why:      "it interrupts every CPU each few seconds and takes a performance counter",
		Source:   "tuned, profile network-latency",
		Tradeoff: "A CPU locked hard in the kernel is no longer reported; the soft-lockup detector stays.",
		Measure:  "NMI lines of /proc/interrupts stay still.",
	}, "/proc/sys/kernel/nmi_watchdog", "0"),
	{
		Name: "cpu.isolcpus", Group: "cpu", Roles: bypassing, Advice: true,
		What:     "Kernel command line: isolcpus=managed_irq,domain,CPUs of shards and interrupts.",
		Why:      "keeps the scheduler's balancing, and interrupts that the kernel places itself, off the shards' CPUs",
		Source:   "Documentation/admin-guide/kernel-parameters.txt, isolcpus",
		Tradeoff: "Needs a reboot; these CPUs run nothing that is not put there by name.",
		Measure:  "context switches a second on the shards' CPUs: perf stat -C CPUS -e context-switches.",
		Scan:     cmdline("isolcpus"), Want: busyList("managed_irq,domain,"),
		Shell: `note "kernel command line: isolcpus=managed_irq,domain,$(echo "$SHARD_CPUS $IRQ_CPUS" | tr ' ' ',')"`,
	},
	{
		Name: "cpu.nohz_full", Group: "cpu", Roles: bypassing, Advice: true,
		What:     "Kernel command line: nohz_full=CPUs of shards and interrupts.",
		Why:      "stops the scheduler's tick on a CPU with one runnable thread",
		Source:   "Documentation/timers/no_hz.rst; tuned, profile cpu-partitioning",
		Tradeoff: "Needs a reboot and CONFIG_NO_HZ_FULL. Each system call costs some 100 ns more: good for a shard that polls, bad for one on kernel sockets.",
		Measure:  "LOC lines of /proc/interrupts on the shards' CPUs; requests a second of gannet replay before and after.",
		Scan:     cmdline("nohz_full"), Want: busyList(""),
		Shell: `note "kernel command line: nohz_full=$(echo "$SHARD_CPUS $IRQ_CPUS" | tr ' ' ',')"`,
	},
	{
		Name: "cpu.rcu_nocbs", Group: "cpu", Roles: bypassing, Advice: true,
		What:     "Kernel command line: rcu_nocbs=CPUs of shards and interrupts.",
		Why:      "moves the kernel's deferred frees (RCU callbacks) to other CPUs",
		Source:   "Documentation/admin-guide/kernel-per-CPU-kthreads.rst",
		Tradeoff: "Needs a reboot; the control process's CPUs do that work.",
		Measure:  "RCU lines of /proc/softirqs on the shards' CPUs; p999 of gannet replay.",
		Scan:     cmdline("rcu_nocbs"), Want: busyList(""),
		Shell: `note "kernel command line: rcu_nocbs=$(echo "$SHARD_CPUS $IRQ_CPUS" | tr ' ' ',')"`,
	},
}

func scanCPUs(name string) func(*Facts, *Options) []Item {
	return func(f *Facts, _ *Options) []Item {
		list := make([]Item, len(f.Topology.CPUs))
		for i, cpu := range f.Topology.CPUs {
			list[i] = Item{Setting{KindFile, fmt.Sprintf("%s/cpu%d/%s", cpuDir, cpu.ID, name)}, cpu.ID}
		}
		return list
	}
}

func onBusyCPUs(value string) func(*Inputs, Item) Want {
	return func(in *Inputs, i Item) Want {
		if in.Options.Role == RoleClient || slices.Contains(in.Layout.Shards, i.N) || slices.Contains(in.Layout.IRQs, i.N) {
			return Want{Value: value}
		}
		return leave("no shard and no interrupt runs there")
	}
}

func cmdline(name string) func(*Facts, *Options) []Item {
	return func(*Facts, *Options) []Item { return []Item{{Setting: Setting{KindCmdline, name}}} }
}

func busyList(prefix string) func(*Inputs, Item) Want {
	return func(in *Inputs, _ Item) Want {
		busy := in.busy()
		if len(busy) == 0 {
			return leave("shards share their CPUs with everything else")
		}
		return Want{Value: prefix + FormatCPUs(busy)}
	}
}
