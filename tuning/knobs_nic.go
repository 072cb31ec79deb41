package tuning

import (
	"fmt"
	"slices"
	"strings"
)

// multiBuffer lists the drivers that take XDP programs with frames over one page.
var multiBuffer = []string{"mlx5_core", "ice", "i40e", "bnxt_en", "virtio_net", "veth", "mvneta", "idpf"}

// halfQueues lists drivers that need a spare transmit queue for each queue with an XDP program.
var halfQueues = []string{"ena"}

const (
	jumboMTU         = 9000
	ringEntries      = 2048
	moderationMicros = 8
)

var nicKnobs = []*Knob{
	{
		Name: "nic.ntuple", Group: "nic", Roles: serving, Reset: true,
		What:     "The switch that lets flow rules pick a queue (ethtool feature rx-ntuple-filter).",
		Why:      "a flow rule for each UDP port needs the filter unit on",
		Source:   "ethtool(8), --features and --config-ntuple; Documentation/networking/scaling.rst, accelerated RFS",
		Tradeoff: "On Intel's 10 Gbit/s cards it takes the place of automatic flow steering (ATR) for kernel sockets.",
		Measure:  "gannet_handed_over_total stays at 0 with rules in place.",
		Scan:     ofNIC(KindFeature, " rx-ntuple-filter"), Want: exactly("on"),
		Shell: `tool_set "ntuple" "$(feature ntuple-filters)" on -K "$NIC" ntuple`,
	},
	{
		Name: "nic.lro", Group: "nic", Roles: bypassing, Reset: true,
		What:     "Merging of received packets by the hardware (ethtool feature rx-lro).",
		Why:      "native XDP cannot look at merged packets: drivers refuse the program or fall back",
		Source:   "Documentation/networking/netdev-features.rst; net/core/dev.c turns it off for generic XDP",
		Tradeoff: "Bulk TCP to kernel sockets costs more CPU; replication is a small share of a node's traffic.",
		Measure:  "gannet datapath probe NIC offers xdp-copy or better; ethtool -k NIC shows large-receive-offload: off.",
		Scan:     ofNIC(KindFeature, " rx-lro"), Want: exactly("off"),
		Shell: `tool_set "lro" "$(feature large-receive-offload)" off -K "$NIC" lro`,
	},
	{
		Name: "nic.mtu", Group: "nic", Roles: everywhere, Reset: true,
		What:     "The interface's MTU: 9000 on drivers that take XDP programs with several buffers a packet.",
		Why:      "a packet then holds eight values of 1 KB instead of one, and a 100 KB value takes 13 packets instead of 100",
		Source:   "the design document, \"to handle TCP Incast, we use jumbo frames\"; IEEE 802.3 has no standard for it, vendors agree on 9000",
		Tradeoff: "Every switch and host of the network must carry it, or long packets vanish in silence. Frames over a page need XDP multi-buffer.",
		Measure:  "ping -M do -s 8972 OTHER answers; client's packets a value on /metrics.",
		Scan:     nicFile("mtu"), Want: wantMTU,
		Shell: `[ -n "${MTU:-}" ] && put "/sys/class/net/$NIC/mtu" "$MTU"`,
	},
	{
		Name: "nic.rings", Group: "nic", Roles: everywhere, Reset: true,
		What:     "Lengths of the hardware's receive and transmit rings: 2048 descriptors, or the most there are.",
		Why:      "2048 descriptors hold a burst of 170 µs at full packet rate (12 Mpps) and still fit in the cache share that DMA writes to",
		Source:   "Intel, Ethernet 800 Series Linux performance tuning guide, \"Tx/Rx descriptor ring sizes\"; Farshin et al., \"Reexamining Direct Cache Access\", USENIX ATC 2020",
		Tradeoff: "Longer rings drop later in a burst, but data falls out of the cache before it is read.",
		Measure:  "ethtool -S NIC | grep -i -E 'drop|miss|no_buf' must not grow under load; LLC-load-misses by perf stat.",
		Scan:     ofNIC(KindRings, ""), Want: wantRings,
		Shell: `max_rx=$(ring_max RX) max_tx=$(ring_max TX)
want_rx=$(least "$max_rx" 2048) want_tx=$(least "$max_tx" 2048)
[ "${max_rx:-0}" -gt 0 ] && tool_set "ring rx" "$(ring_now RX)" "$want_rx" -G "$NIC" rx
[ "${max_tx:-0}" -gt 0 ] && tool_set "ring tx" "$(ring_now TX)" "$want_tx" -G "$NIC" tx`,
	},
	{
		Name: "nic.channels", Group: "nic", Roles: bypassing, Reset: true,
		What:     "The number of queues: one for each shard.",
		Why:      "an AF_XDP socket sees one queue, so each shard needs its own and every other queue needs a hand-over",
		Source:   "Documentation/networking/af_xdp.rst; Intel, 800 Series tuning guide, \"reduce the number of queues to the cores in use\"",
		Tradeoff: "The kernel's own traffic (ssh, replication) shares these queues. ENA needs half of its queues spare for XDP.",
		Measure:  "ethtool -l NIC; gannet_handed_over_total.",
		Scan:     ofNIC(KindChannels, ""), Want: wantChannels,
		Shell: `if [ "$(channels_max Combined)" -gt 0 ]; then
	tool_set "channels" "$(channels_now Combined)" "$SHARDS" -L "$NIC" combined
elif [ "$(channels_max RX)" -gt 0 ]; then
	tool_set "channels tx" "$(channels_now TX)" "$SHARDS" -L "$NIC" tx
	tool_set "channels rx" "$(channels_now RX)" "$SHARDS" -L "$NIC" rx
fi`,
	},
	{
		Name: "nic.rss", Group: "nic", Roles: bypassing,
		What:     "The table that spreads flows without a rule: evenly over the shards' queues.",
		Why:      "clients that learn their queue can only reach queues that the table has, evenly",
		Source:   "Documentation/networking/scaling.rst, RSS configuration",
		Tradeoff: "None for a host of its own; a host that also does other work may want other queues for that.",
		Measure:  "ethtool -x NIC; packets by queue in ethtool -S NIC differ by less than a tenth.",
		Scan:     ofNIC(KindRSS, ""), Want: wantRSS,
		Shell: `# The driver's own table follows the number of queues; one that was set by hand is left alone.
if ethtool -x "$NIC" >/dev/null 2>&1; then note "spread over queues: see that ethtool -x $NIC shows all $SHARDS queues evenly"; fi`,
	},
	{
		Name: "nic.coalesce", Group: "nic", Roles: everywhere,
		What:     "Interrupt moderation: fixed, 8 µs.",
		Why:      "adaptive moderation waits up to hundreds of µs when the load changes; 8 µs is under a hundredth of the 1 ms goal, and still spares most interrupts",
		Source:   "tuned, profile network-latency; Mellanox/NVIDIA, \"Performance tuning for Mellanox adapters\", low latency: adaptive off",
		Tradeoff: "More interrupts at medium load: a few percent of CPU. Under full load shards poll, and it does not matter.",
		Measure:  "gannet replay at 10 % load: p50 falls by the former delay; interrupts a second in /proc/interrupts rise.",
		Scan:     ofNIC(KindCoalesce, ""), Want: wantCoalesce,
		Shell: `tool_set "adaptive-rx" "$(coalesce_adaptive)" off -C "$NIC" adaptive-rx
tool_set "rx-usecs" "$(coalesce_number rx-usecs)" 8 -C "$NIC" rx-usecs
tool_set "tx-usecs" "$(coalesce_number tx-usecs)" 8 -C "$NIC" tx-usecs`,
	},
	{
		Name: "nic.flow", Group: "nic", Roles: serving,
		What:     "Flow rules: UDP port 9800 + n goes to queue n, for IPv4 and IPv6.",
		Why:      "a request then arrives on the core that has its data, and no core touches another's",
		Source:   "ethtool(8), --config-ntuple; MICA, NSDI 2014 (client-assisted flow steering)",
		Tradeoff: "Two of the card's rules for each shard. Without rules clients learn source ports, and the rest is handed over.",
		Measure:  "gannet_handed_over_total is 0; gannet replay -o json, p99.",
		Scan:     scanFlows, Want: wantFlow,
		Shell: `queue=0
while [ "$queue" -lt "$SHARDS" ]; do
	for family in udp4 udp6; do
		flow_rule "$family" "$((DATA_PORT + queue))" "$queue"
	done
	queue=$((queue + 1))
done`,
	},
	{
		Name: "nic.rps", Group: "nic", Roles: bypassing,
		What:     "Receive packet steering in software: off.",
		Why:      "packets are on the right core already; moving them once more costs an interrupt between processors each",
		Source:   "Documentation/networking/scaling.rst, \"RPS is redundant\" with as many queues as cores",
		Tradeoff: "Kernel sockets on a single-queue interface lose their only spread over cores.",
		Measure:  "the RPS column (10th) of /proc/net/softnet_stat stays still.",
		Scan:     scanQueues("rx", "rps_cpus"),
		Want:     func(in *Inputs, i Item) Want { return Want{Value: formatMask(nil, in.now(i.Setting))} },
		Shell: `for f in "/sys/class/net/$NIC"/queues/rx-*/rps_cpus; do
	[ -e "$f" ] && [ -n "$(tr -d '0,\n' <"$f")" ] && put "$f" 0
done`,
	},
	{
		Name: "nic.xps", Group: "nic", Roles: bypassing,
		What:     "Which CPU sends on which queue: shard n on queue n.",
		Why:      "completions then come back to the core that sent, and no two cores share a transmit lock",
		Source:   "Documentation/networking/scaling.rst, XPS",
		Tradeoff: "Threads on other CPUs pick a queue by hash, as without it.",
		Measure:  "cat /sys/class/net/NIC/queues/tx-0/xps_cpus; tx packets by queue in ethtool -S.",
		Scan:     scanQueues("tx", "xps_cpus"), Want: wantXPS,
		Shell: `queue=0
for cpu in $SHARD_CPUS; do
	f="/sys/class/net/$NIC/queues/tx-$queue/xps_cpus"
	cat "$f" >/dev/null 2>&1 && put "$f" "$(mask "$cpu" "$f")"
	queue=$((queue + 1))
done`,
	},
	{
		Name: "nic.defer_hard_irqs", Group: "nic", Roles: bypassing,
		What:     "napi_defer_hard_irqs: 2 empty polls before interrupts are armed again.",
		Why:      "a shard that polls by itself (SO_PREFER_BUSY_POLL) is not interrupted for packets that it is about to fetch",
		Source:   "Documentation/networking/napi.rst, \"IRQ mitigation\"; Linux commit 7fd3253a7de6 (preferred busy polling, same values)",
		Tradeoff: "When the shard sleeps, up to gro_flush_timeout passes before a packet is seen, unless the shard is in poll().",
		Measure:  "interrupts of the NIC in /proc/interrupts under load: they all but stop.",
		Scan:     nicFile("napi_defer_hard_irqs"), Want: exactly("2"),
		Shell: `put "/sys/class/net/$NIC/napi_defer_hard_irqs" 2`,
	},
	{
		Name: "nic.gro_flush_timeout", Group: "nic", Roles: bypassing,
		What:     "gro_flush_timeout: 200 µs until interrupts are armed again on their own.",
		Why:      "it is the watchdog behind napi_defer_hard_irqs: it bounds what a shard that stopped polling can delay",
		Source:   "Documentation/networking/napi.rst, \"IRQ mitigation\"; Linux commit 7fd3253a7de6",
		Tradeoff: "The longest delay of a packet when the shard has just gone to sleep.",
		Measure:  "p999 of gannet replay at light load.",
		Scan:     nicFile("gro_flush_timeout"), Want: exactly("200000"),
		Shell: `put "/sys/class/net/$NIC/gro_flush_timeout" 200000`,
	},
}

func wantMTU(in *Inputs, _ Item) Want {
	nic, o := in.Facts.NIC, in.Options
	switch {
	case o.MTU != 0:
		return Want{Value: fmt.Sprint(o.MTU)}
	case in.Facts.Virtual != "" && nic.Driver != "veth":
		return leave("the network of a virtual machine (%s) decides: say --mtu 9000 when it carries that", in.Facts.Virtual)
	case o.Role != RoleClient && !slices.Contains(multiBuffer, nic.Driver):
		return leave("driver %s takes no XDP program with frames over one page", driverName(nic))
	case nic.MTU > jumboMTU:
		return leave("it is longer already")
	}
	return Want{Value: fmt.Sprint(jumboMTU)}
}

func driverName(n *NIC) string {
	if n.Driver == "" {
		return "(none)"
	}
	return n.Driver
}

func wantRings(in *Inputs, _ Item) Want {
	r := in.Facts.NIC.Rings
	if r.MaxRX == 0 && r.MaxTX == 0 {
		return leave("%s: it has rings of one length only", ErrUnsupported)
	}
	want := r
	if r.MaxRX > 0 {
		want.RX = min(r.MaxRX, ringEntries)
	}
	if r.MaxTX > 0 {
		want.TX = min(r.MaxTX, ringEntries)
	}
	return Want{Value: want.String()}
}

// queueLimit is how many queues an interface can have with an XDP program on each; 0 = unknown.
func (n *NIC) queueLimit() int {
	most := max(int(n.Channels.MaxCombined), min(int(n.Channels.MaxRX), int(n.Channels.MaxTX)))
	if slices.Contains(halfQueues, n.Driver) {
		most /= 2
	}
	if most == 0 {
		return len(n.RXQueues)
	}
	return most
}

func wantChannels(in *Inputs, _ Item) Want {
	c, want := in.Facts.NIC.Channels, in.Facts.NIC.Channels
	queues := uint32(min(len(in.Layout.Shards), in.Facts.NIC.queueLimit()))
	switch {
	case queues == 0:
		return leave("%s", ErrUnsupported)
	case c.MaxCombined > 0:
		want.Combined, want.RX, want.TX = queues, 0, 0
	default:
		want.RX, want.TX = queues, queues
	}
	return Want{Value: want.String()}
}

// wantedQueues is the number of queues there will be.
func (in *Inputs) wantedQueues() int {
	return min(len(in.Layout.Shards), max(1, in.Facts.NIC.queueLimit()))
}

func wantRSS(in *Inputs, _ Item) Want {
	return Want{Value: fmt.Sprintf("equal %d", in.wantedQueues())}
}

func wantCoalesce(in *Inputs, i Item) Want {
	now, err := pairs(in.now(i.Setting))
	if err != nil {
		return leave("its present state cannot be read")
	}
	var frames Coalesce
	now.number("rx-frames", &frames.RXFrames, "tx-frames", &frames.TXFrames)
	want := Coalesce{RXMicros: moderationMicros, TXMicros: moderationMicros, RXFrames: frames.RXFrames, TXFrames: frames.TXFrames}
	if now["tx-usecs"] == "0" && now["tx-frames"] == "0" {
		want.TXMicros = 0 // the driver moderates both directions by one timer, or sending not at all
	}
	return Want{Value: want.String()}
}

// scanFlows lists the rules of all ports that a node may have, so that ports of a former, larger layout are seen, too.
func scanFlows(f *Facts, o *Options) []Item {
	if f.NIC == nil {
		return nil
	}
	base, list := o.dataPort(), []Item{}
	add := func(family string, port int) {
		list = append(list, Item{Setting{KindFlow, fmt.Sprintf("%s %s %d", f.NIC.Name, family, port)}, port - base})
	}
	ports := min(len(f.Topology.CPUs), maxFlowPorts)
	for n := range ports {
		add("udp4", base+n)
		add("udp6", base+n)
	}
	return list
}

func wantFlow(in *Inputs, i Item) Want {
	now := in.now(i.Setting)
	if i.N >= in.wantedQueues() {
		if now == absent || now == "" {
			return Want{Value: now}
		}
		return Want{Value: absent} // of a shard that is no more
	}
	if queue, _, _ := strings.Cut(now, " location"); queue == fmt.Sprintf("queue %d", i.N) {
		return Want{Value: now}
	}
	slots := in.Facts.NIC.FlowSlots
	place := 2 * i.N
	if strings.Contains(i.Setting.Target, "udp6") {
		place++
	}
	location := in.freeLocation(slots, place)
	if location < 0 {
		return leave("the card has room for %d rules, and others have them", slots)
	}
	return Want{Value: fmt.Sprintf("queue %d location %d", i.N, location)}
}

// freeLocation gives the place for our rule number n, counted from the end of the card's table. Rules of others stay.
func (in *Inputs) freeLocation(slots, n int) int {
	base := in.Options.dataPort()
	taken := map[int]bool{}
	for _, r := range in.Facts.NIC.FlowRules {
		if !r.Exact || int(r.Port) < base || int(r.Port) >= base+maxFlowPorts {
			taken[r.Location] = true
		}
	}
	for location := slots - 1; location >= 0; location-- {
		if taken[location] {
			continue
		}
		if n == 0 {
			return location
		}
		n--
	}
	return -1
}

// scanQueues lists a file of each queue.
func scanQueues(direction, name string) func(*Facts, *Options) []Item {
	return func(f *Facts, _ *Options) []Item {
		if f.NIC == nil {
			return nil
		}
		queues := f.NIC.RXQueues
		if direction == "tx" {
			queues = f.NIC.TXQueues
		}
		list := make([]Item, len(queues))
		for i, q := range queues {
			list[i] = Item{Setting{KindFile, fmt.Sprintf("%s/%s/queues/%s-%d/%s", netDir, f.NIC.Name, direction, q, name)}, q}
		}
		return list
	}
}

func wantXPS(in *Inputs, i Item) Want {
	if i.N >= len(in.Layout.Shards) {
		return leave("no shard sends on this queue")
	}
	return Want{Value: formatMask([]int{in.Layout.Shards[i.N]}, in.now(i.Setting))}
}
