package tuning

import (
	"fmt"
	"strconv"
)

const (
	hugePagesPath = "/sys/kernel/mm/hugepages/hugepages-%dkB/nr_hugepages"
	limitsPath    = "/etc/security/limits.d/gannet.conf"
	limitsText    = "# UMEMs of AF_XDP and locked memory of gannet-dataplane; by gannet tune.\ngannet - memlock unlimited\n"
)

var memoryKnobs = []*Knob{
	{
		Name: "memory.hugepages", Group: "memory", Roles: serving,
		What:     "Huge pages on each memory node, enough for the shards that run there (--memory; --hugepage-size 2MiB or 1GiB).",
		Why:      "one address translation then covers 2 MiB: random reads over a large memory miss the TLB far less, and filling it at the start takes an eighth of the time",
		Source:   "Documentation/admin-guide/mm/hugetlbpage.rst; measured: 4 GB are prefaulted in 2.9 s instead of 22 s",
		Tradeoff: "The memory is gone for everything else, used or not. Gannet itself takes 2 MiB pages; 1 GiB pages serve it from a hugetlbfs mount with that page size, named by data-dir.",
		Measure:  "grep Huge /sys/devices/system/node/node*/meminfo; perf stat -e dTLB-load-misses on a shard.",
		Scan:     scanHugePages, Want: wantHugePages,
		Shell: `if [ "${HUGEPAGES_PER_NODE:-0}" -gt 0 ]; then
	for f in /sys/devices/system/node/node*/hugepages/hugepages-2048kB/nr_hugepages; do put "$f" "$HUGEPAGES_PER_NODE"; done
fi`,
	},
	{
		Name: "memory.hugepages_boot", Group: "memory", Roles: serving, Advice: true,
		What:     "Kernel command line: hugepagesz= and hugepages=, the same pages from the start.",
		Why:      "right after boot memory is whole; later the kernel may not find enough (of 1 GiB pages hardly ever)",
		Source:   "Documentation/admin-guide/kernel-parameters.txt, hugepages",
		Tradeoff: "Needs a reboot to change; spreads the pages evenly over memory nodes.",
		Measure:  "grep HugePages_Total /proc/meminfo after a boot.",
		Scan:     cmdline("hugepages"),
		Want: func(in *Inputs, _ Item) Want {
			o := in.Options
			if o.MemoryBytes == 0 {
				return leave("say --memory, the shards' memory")
			}
			pages := (o.MemoryBytes + o.hugePageBytes() - 1) / o.hugePageBytes()
			return Want{Value: fmt.Sprintf("%d, behind hugepagesz=%s", pages, map[int64]string{pageBytes2M: "2M", pageBytes1G: "1G"}[o.hugePageBytes()])}
		},
		Shell: `if [ "${HUGEPAGES_PER_NODE:-0}" -gt 0 ]; then note "kernel command line: hugepagesz=2M hugepages=(HUGEPAGES_PER_NODE times memory nodes)"; fi`,
	},
	{
		Name: "memory.thp", Group: "memory", Roles: serving,
		What:     "Transparent huge pages: madvise, only where a program asks.",
		Why:      "without reserved pages Gannet asks for them where they help; \"always\" lets the kernel stop other programs for compaction",
		Source:   "tuned, profile network-latency (never); Documentation/admin-guide/mm/transhuge.rst",
		Tradeoff: "Programs that counted on \"always\" lose it.",
		Measure:  "grep -E 'compact_stall|thp_fault' /proc/vmstat.",
		Scan:     choice("/sys/kernel/mm/transparent_hugepage/enabled"), Want: exactly("madvise"),
		Shell: `put_choice /sys/kernel/mm/transparent_hugepage/enabled madvise`,
	},
	sysctl(Knob{
		Name: "memory.numa_balancing", Group: "memory", Roles: serving,
		What:     "kernel.numa_balancing: 0.",
		Why:      "memory is bound to the shard's node already; the balancer would take its mappings away from time to time to see who uses it",
		Source:   "tuned, profile network-latency; Documentation/admin-guide/sysctl/kernel.rst, numa_balancing",
		Tradeoff: "Programs that are not bound to a node are not moved to their memory.",
		Measure:  "grep numa_hint_faults /proc/vmstat stays still.",
	}, "/proc/sys/kernel/numa_balancing", "0"),
	sysctl(Knob{
		Name: "memory.stat_interval", Group: "memory", Roles: bypassing,
		What:     "vm.stat_interval: 10 s.",
		Why:      "the kernel gathers each CPU's memory counters less often on the shards' CPUs",
		Source:   "tuned, profile network-latency",
		Tradeoff: "/proc/vmstat is up to 10 s old.",
		Measure:  "p999 of gannet replay at light load; perf trace of kworker on the shards' CPUs.",
	}, "/proc/sys/vm/stat_interval", "10"),
	sysctl(Knob{
		Name: "memory.swappiness", Group: "memory", Roles: serving,
		What:     "vm.swappiness: 1.",
		Why:      "an item on a disk is slower than a miss; huge pages are never swapped, memory without them would be",
		Source:   "Documentation/admin-guide/sysctl/vm.rst, swappiness",
		Tradeoff: "Under pressure the kernel gives up file caches first.",
		Measure:  "pswpin and pswpout of /proc/vmstat stay still.",
	}, "/proc/sys/vm/swappiness", "1"),
	{
		Name: "memory.memlock", Group: "memory", Roles: bypassing,
		What:     "A limits file that lets user gannet lock memory without limit (/etc/security/limits.d/gannet.conf).",
		Why:      "the kernel counts AF_XDP's packet memory against the limit, which is 8 MiB by default",
		Source:   "net/xdp/xdp_umem.c, xdp_umem_account_pages; limits.conf(5)",
		Tradeoff: "That user can take all memory from the system. systemd units carry their own LimitMEMLOCK and do not read it.",
		Measure:  "ulimit -l after a login as gannet.",
		Scan: func(*Facts, *Options) []Item {
			return []Item{{Setting: Setting{KindConfig, limitsPath}}}
		},
		Want: exactly("=" + limitsText),
		Shell: `if [ "$MODE" = apply ] && [ ! -e ` + limitsPath + ` ]; then
	undo "rm -f ` + limitsPath + `"
	printf '%s\n' 'gannet - memlock unlimited' >` + limitsPath + `
elif [ ! -e ` + limitsPath + ` ]; then
	differs "` + limitsPath + `" absent "gannet - memlock unlimited"
fi`,
	},
}

func scanHugePages(f *Facts, o *Options) []Item {
	kib := o.hugePageBytes() >> 10
	if !f.Topology.NUMA {
		return []Item{{Setting{KindFile, fmt.Sprintf(hugePagesPath, kib)}, 0}}
	}
	list := make([]Item, len(f.Topology.Nodes))
	for i, n := range f.Topology.Nodes {
		list[i] = Item{Setting{KindFile, fmt.Sprintf("%s/node%d/hugepages/hugepages-%dkB/nr_hugepages", nodeDir, n.ID, kib)}, n.ID}
	}
	return list
}

// mostOfNode is the share of a node's memory that huge pages may take: the system needs some, too.
const mostOfNode = 0.9

func wantHugePages(in *Inputs, i Item) Want {
	o, l := in.Options, in.Layout
	if o.MemoryBytes == 0 {
		return leave("say --memory, the shards' memory")
	}
	here := 0
	for _, cpu := range in.Facts.Topology.CPUs {
		for _, shard := range l.Shards {
			if cpu.ID == shard && (cpu.Node == i.N || !in.Facts.Topology.NUMA) {
				here++
			}
		}
	}
	perShard := (o.MemoryBytes/int64(len(l.Shards)) + o.hugePageBytes() - 1) / o.hugePageBytes()
	pages := perShard * int64(here)
	for _, n := range in.Facts.Topology.Nodes {
		if n.ID == i.N && n.MemoryBytes > 0 && float64(pages*o.hugePageBytes()) > mostOfNode*float64(n.MemoryBytes) {
			return leave("%d pages would take more than 90 %% of node %d's %d MiB: ask for less --memory, or spread shards over more nodes", pages, n.ID, n.MemoryBytes>>20)
		}
	}
	now, _ := strconv.ParseInt(in.now(i.Setting), 10, 64)
	return Want{Value: fmt.Sprint(max(now, pages))} // others may need what is there
}
