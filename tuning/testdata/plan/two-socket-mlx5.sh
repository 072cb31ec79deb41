#!/bin/sh
# What gannet tune plan found for this host, as a plain script: role dataplane, ens1f0np0.
# Made for the host as it was then: when it makes new queues, make the script anew behind it for what hangs on them.
#
# Usage: sh SCRIPT apply|revert
set -u
say() { printf '%s\n' "$*"; }
put() {
	[ -e "$2" ] || { say "# $2 is not there"; return 0; }
	say "$2 = $1"
	printf '%s\n' "$1" >"$2" || failed "$2"
}
tool() {
	say "ethtool $*"
	ethtool "$@" || failed "ethtool $*"
}
failed() {
	say "$1 failed; what was set before it stays: undo it with revert" >&2
	exit 1
}

apply() {
	# nic.rss: clients that learn their queue can only reach queues that the table has, evenly
	tool -X ens1f0np0 equal 2
	# nic.ntuple: a flow rule for each UDP port needs the filter unit on
	tool -K ens1f0np0 rx-ntuple-filter on
	# nic.lro: native XDP cannot look at merged packets: drivers refuse the program or fall back
	tool -K ens1f0np0 rx-lro off
	# nic.mtu: a packet then holds eight values of 1 KB instead of one, and a 100 KB value takes 13 packets instead of 100
	put '9000' /sys/class/net/ens1f0np0/mtu
	# nic.rings: 2048 descriptors hold a burst of 170 µs at full packet rate (12 Mpps) and still fit in the cache share that DMA writes to
	tool -G ens1f0np0 rx 2048 tx 2048
	# nic.channels: an AF_XDP socket sees one queue, so each shard needs its own and every other queue needs a hand-over
	tool -L ens1f0np0 combined 2
	# nic.coalesce: adaptive moderation waits up to hundreds of µs when the load changes; 8 µs is under a hundredth of the 1 ms goal, and still spares most interrupts
	tool -C ens1f0np0 adaptive-rx off adaptive-tx off
	# nic.flow: a request then arrives on the core that has its data, and no core touches another's
	tool -N ens1f0np0 flow-type udp4 dst-port 9800 action 0 loc 1023
	# nic.flow: a request then arrives on the core that has its data, and no core touches another's
	tool -N ens1f0np0 flow-type udp6 dst-port 9800 action 0 loc 1022
	# nic.flow: a request then arrives on the core that has its data, and no core touches another's
	tool -N ens1f0np0 flow-type udp4 dst-port 9801 action 1 loc 1021
	# nic.flow: a request then arrives on the core that has its data, and no core touches another's
	tool -N ens1f0np0 flow-type udp6 dst-port 9801 action 1 loc 1020
	# nic.xps: completions then come back to the core that sent, and no two cores share a transmit lock
	put '00000000,00010000' /sys/class/net/ens1f0np0/queues/tx-0/xps_cpus
	# nic.xps: completions then come back to the core that sent, and no two cores share a transmit lock
	put '00000000,00020000' /sys/class/net/ens1f0np0/queues/tx-1/xps_cpus
	# nic.defer_hard_irqs: a shard that polls by itself (SO_PREFER_BUSY_POLL) is not interrupted for packets that it is about to fetch
	put '2' /sys/class/net/ens1f0np0/napi_defer_hard_irqs
	# nic.gro_flush_timeout: it is the watchdog behind napi_defer_hard_irqs: it bounds what a shard that stopped polling can delay
	put '200000' /sys/class/net/ens1f0np0/gro_flush_timeout
	# irq.balance: irqbalance would move the interrupts back within ten seconds
	printf '%s\n' '#IRQBALANCE_ONESHOT=
IRQBALANCE_BANNED_CPULIST="16-17,48-49"
IRQBALANCE_ARGS="--powerthresh=1 --banirq=120 --banirq=121 --banirq=122 --banirq=123 --banirq=124 --banirq=125 --banirq=126 --banirq=127 --banirq=128 --banirq=129 --banirq=130 --banirq=131 --banirq=132 --banirq=133 --banirq=134 --banirq=135 --banirq=136 --banirq=137 --banirq=138 --banirq=139 --banirq=140 --banirq=141 --banirq=142 --banirq=143 --banirq=144 --banirq=145 --banirq=146 --banirq=147 --banirq=148 --banirq=149 --banirq=150 --banirq=151 --banirq=152 --banirq=153 --banirq=154 --banirq=155 --banirq=156 --banirq=157 --banirq=158 --banirq=159 --banirq=160 --banirq=161 --banirq=162 --banirq=163 --banirq=164 --banirq=165 --banirq=166 --banirq=167 --banirq=168 --banirq=169 --banirq=170 --banirq=171 --banirq=172 --banirq=173 --banirq=174 --banirq=175 --banirq=176 --banirq=177 --banirq=178 --banirq=179 --banirq=180 --banirq=181 --banirq=182"' >/etc/default/irqbalance
	systemctl try-restart irqbalance.service
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '48' /proc/irq/120/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '49' /proc/irq/121/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/122/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/123/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/124/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/125/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/126/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/127/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/128/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/129/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/130/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/131/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/132/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/133/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/134/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/135/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/136/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/137/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/138/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/139/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/140/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/141/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/142/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/143/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/144/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/145/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/146/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/147/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/148/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/149/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/150/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/151/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/152/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/153/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/154/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/155/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/156/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/157/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/158/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/159/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/160/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/161/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/162/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/163/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/164/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/165/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/166/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/167/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/168/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/169/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/170/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/171/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/172/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/173/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/174/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/175/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/176/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/177/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/178/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/179/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/180/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/181/smp_affinity_list
	# irq.affinity: what the interrupt brings in lands in the cache that the shard reads from
	put '0-15,18-47,50-63' /proc/irq/182/smp_affinity_list
	# cpu.governor: a governor that follows the load answers the first requests of a burst at a third of the speed
	put 'performance' /sys/devices/system/cpu/cpu16/cpufreq/scaling_governor
	# cpu.governor: a governor that follows the load answers the first requests of a burst at a third of the speed
	put 'performance' /sys/devices/system/cpu/cpu17/cpufreq/scaling_governor
	# cpu.governor: a governor that follows the load answers the first requests of a burst at a third of the speed
	put 'performance' /sys/devices/system/cpu/cpu48/cpufreq/scaling_governor
	# cpu.governor: a governor that follows the load answers the first requests of a burst at a third of the speed
	put 'performance' /sys/devices/system/cpu/cpu49/cpufreq/scaling_governor
	# cpu.idle_states: an idle shard sleeps in poll(), and waking from C6 takes 100 µs and more of the 1 ms there is
	put '1' /sys/devices/system/cpu/cpu16/cpuidle/state3/disable
	# cpu.idle_states: an idle shard sleeps in poll(), and waking from C6 takes 100 µs and more of the 1 ms there is
	put '1' /sys/devices/system/cpu/cpu17/cpuidle/state3/disable
	# cpu.idle_states: an idle shard sleeps in poll(), and waking from C6 takes 100 µs and more of the 1 ms there is
	put '1' /sys/devices/system/cpu/cpu48/cpuidle/state3/disable
	# cpu.idle_states: an idle shard sleeps in poll(), and waking from C6 takes 100 µs and more of the 1 ms there is
	put '1' /sys/devices/system/cpu/cpu49/cpuidle/state3/disable
	# cpu.nmi_watchdog: it interrupts every CPU each few seconds and takes a performance counter
	put '0' /proc/sys/kernel/nmi_watchdog
	# memory.hugepages: one address translation then covers 2 MiB: random reads over a large memory miss the TLB far less, and filling it at the start takes an eighth of the time
	put '512' /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages
	# memory.thp: without reserved pages Gannet asks for them where they help; "always" lets the kernel stop other programs for compaction
	put 'madvise' /sys/kernel/mm/transparent_hugepage/enabled
	# memory.numa_balancing: memory is bound to the shard's node already; the balancer would take its mappings away from time to time to see who uses it
	put '0' /proc/sys/kernel/numa_balancing
	# memory.stat_interval: the kernel gathers each CPU's memory counters less often on the shards' CPUs
	put '10' /proc/sys/vm/stat_interval
	# memory.swappiness: an item on a disk is slower than a miss; huge pages are never swapped, memory without them would be
	put '1' /proc/sys/vm/swappiness
	# memory.memlock: the kernel counts AF_XDP's packet memory against the limit, which is 8 MiB by default
	printf '%s\n' '# UMEMs of AF_XDP and locked memory of gannet-dataplane; by gannet tune.
gannet - memlock unlimited' >/etc/security/limits.d/gannet.conf
	# net.rmem_max: a UDP socket may then hold a burst of some 10,000 datagrams while its reader is away
	put '33554432' /proc/sys/net/core/rmem_max
	# net.wmem_max: replies of large values leave in one call instead of waiting for room
	put '33554432' /proc/sys/net/core/wmem_max
	# net.backlog: the queue between drivers without NAPI (or RPS) and the stack; 1000 is 85 µs at 100 Gbit/s with 1 KB
	put '16384' /proc/sys/net/core/netdev_max_backlog
	# net.tcp_rmem: a replication stream at 25 Gbit/s over 10 ms of stall needs 31 MB in flight
	put '4096 131072 33554432' /proc/sys/net/ipv4/tcp_rmem
	# net.tcp_wmem: the sending half of tcp_rmem
	put '4096 65536 33554432' /proc/sys/net/ipv4/tcp_wmem
	# net.tcp_slow_start_after_idle: a replication stream that paused for a moment goes on at its former rate, instead of from ten packets
	put '0' /proc/sys/net/ipv4/tcp_slow_start_after_idle
	# net.tcp_mtu_probing: a path that swallows jumbo frames slows a connection instead of hanging it
	put '1' /proc/sys/net/ipv4/tcp_mtu_probing
	# net.tcp_ecn: switches then mark instead of dropping when many answer one (incast), and nobody waits for a timeout
	put '1' /proc/sys/net/ipv4/tcp_ecn
	# net.tcp_rto_min: a lost tail of an incast is sent again after 5 ms, not after 200
	put '5000' /proc/sys/net/ipv4/tcp_rto_min_us
	# Advice, cpu.isolcpus: cmdline isolcpus: managed_irq,domain,16-17,48-49
	# Advice, cpu.nohz_full: cmdline nohz_full: 16-17,48-49
	# Advice, cpu.rcu_nocbs: cmdline rcu_nocbs: 16-17,48-49
	# Advice, memory.hugepages_boot: cmdline hugepages: 512, behind hugepagesz=2M
	# Advice, net.tcp_congestion: /proc/sys/net/ipv4/tcp_congestion_control: dctcp
	:
}

revert() {
	put '200000' /proc/sys/net/ipv4/tcp_rto_min_us
	put '2' /proc/sys/net/ipv4/tcp_ecn
	put '0' /proc/sys/net/ipv4/tcp_mtu_probing
	put '1' /proc/sys/net/ipv4/tcp_slow_start_after_idle
	put '4096 16384 4194304' /proc/sys/net/ipv4/tcp_wmem
	put '4096 131072 6291456' /proc/sys/net/ipv4/tcp_rmem
	put '1000' /proc/sys/net/core/netdev_max_backlog
	put '212992' /proc/sys/net/core/wmem_max
	put '212992' /proc/sys/net/core/rmem_max
	rm -f /etc/security/limits.d/gannet.conf
	put '60' /proc/sys/vm/swappiness
	put '1' /proc/sys/vm/stat_interval
	put '1' /proc/sys/kernel/numa_balancing
	put 'always' /sys/kernel/mm/transparent_hugepage/enabled
	put '0' /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages
	put '1' /proc/sys/kernel/nmi_watchdog
	put '0' /sys/devices/system/cpu/cpu49/cpuidle/state3/disable
	put '0' /sys/devices/system/cpu/cpu48/cpuidle/state3/disable
	put '0' /sys/devices/system/cpu/cpu17/cpuidle/state3/disable
	put '0' /sys/devices/system/cpu/cpu16/cpuidle/state3/disable
	put 'powersave' /sys/devices/system/cpu/cpu49/cpufreq/scaling_governor
	put 'powersave' /sys/devices/system/cpu/cpu48/cpufreq/scaling_governor
	put 'powersave' /sys/devices/system/cpu/cpu17/cpufreq/scaling_governor
	put 'powersave' /sys/devices/system/cpu/cpu16/cpufreq/scaling_governor
	put '0-63' /proc/irq/182/smp_affinity_list
	put '0-63' /proc/irq/181/smp_affinity_list
	put '0-63' /proc/irq/180/smp_affinity_list
	put '0-63' /proc/irq/179/smp_affinity_list
	put '0-63' /proc/irq/178/smp_affinity_list
	put '0-63' /proc/irq/177/smp_affinity_list
	put '0-63' /proc/irq/176/smp_affinity_list
	put '0-63' /proc/irq/175/smp_affinity_list
	put '0-63' /proc/irq/174/smp_affinity_list
	put '0-63' /proc/irq/173/smp_affinity_list
	put '0-63' /proc/irq/172/smp_affinity_list
	put '0-63' /proc/irq/171/smp_affinity_list
	put '0-63' /proc/irq/170/smp_affinity_list
	put '0-63' /proc/irq/169/smp_affinity_list
	put '0-63' /proc/irq/168/smp_affinity_list
	put '0-63' /proc/irq/167/smp_affinity_list
	put '0-63' /proc/irq/166/smp_affinity_list
	put '0-63' /proc/irq/165/smp_affinity_list
	put '0-63' /proc/irq/164/smp_affinity_list
	put '0-63' /proc/irq/163/smp_affinity_list
	put '0-63' /proc/irq/162/smp_affinity_list
	put '0-63' /proc/irq/161/smp_affinity_list
	put '0-63' /proc/irq/160/smp_affinity_list
	put '0-63' /proc/irq/159/smp_affinity_list
	put '0-63' /proc/irq/158/smp_affinity_list
	put '0-63' /proc/irq/157/smp_affinity_list
	put '0-63' /proc/irq/156/smp_affinity_list
	put '0-63' /proc/irq/155/smp_affinity_list
	put '0-63' /proc/irq/154/smp_affinity_list
	put '0-63' /proc/irq/153/smp_affinity_list
	put '0-63' /proc/irq/152/smp_affinity_list
	put '0-63' /proc/irq/151/smp_affinity_list
	put '0-63' /proc/irq/150/smp_affinity_list
	put '0-63' /proc/irq/149/smp_affinity_list
	put '0-63' /proc/irq/148/smp_affinity_list
	put '0-63' /proc/irq/147/smp_affinity_list
	put '0-63' /proc/irq/146/smp_affinity_list
	put '0-63' /proc/irq/145/smp_affinity_list
	put '0-63' /proc/irq/144/smp_affinity_list
	put '0-63' /proc/irq/143/smp_affinity_list
	put '0-63' /proc/irq/142/smp_affinity_list
	put '0-63' /proc/irq/141/smp_affinity_list
	put '0-63' /proc/irq/140/smp_affinity_list
	put '0-63' /proc/irq/139/smp_affinity_list
	put '0-63' /proc/irq/138/smp_affinity_list
	put '0-63' /proc/irq/137/smp_affinity_list
	put '0-63' /proc/irq/136/smp_affinity_list
	put '0-63' /proc/irq/135/smp_affinity_list
	put '0-63' /proc/irq/134/smp_affinity_list
	put '0-63' /proc/irq/133/smp_affinity_list
	put '0-63' /proc/irq/132/smp_affinity_list
	put '0-63' /proc/irq/131/smp_affinity_list
	put '0-63' /proc/irq/130/smp_affinity_list
	put '0-63' /proc/irq/129/smp_affinity_list
	put '0-63' /proc/irq/128/smp_affinity_list
	put '0-63' /proc/irq/127/smp_affinity_list
	put '0-63' /proc/irq/126/smp_affinity_list
	put '0-63' /proc/irq/125/smp_affinity_list
	put '0-63' /proc/irq/124/smp_affinity_list
	put '0-63' /proc/irq/123/smp_affinity_list
	put '0-63' /proc/irq/122/smp_affinity_list
	put '0-63' /proc/irq/121/smp_affinity_list
	put '0-63' /proc/irq/120/smp_affinity_list
	printf '%s\n' '#IRQBALANCE_ONESHOT=
IRQBALANCE_ARGS="--powerthresh=1"' >/etc/default/irqbalance
	systemctl try-restart irqbalance.service
	put '0' /sys/class/net/ens1f0np0/gro_flush_timeout
	put '0' /sys/class/net/ens1f0np0/napi_defer_hard_irqs
	put '00000000,00000000' /sys/class/net/ens1f0np0/queues/tx-1/xps_cpus
	put '00000000,00000000' /sys/class/net/ens1f0np0/queues/tx-0/xps_cpus
	tool -N ens1f0np0 delete 1020
	tool -N ens1f0np0 delete 1021
	tool -N ens1f0np0 delete 1022
	tool -N ens1f0np0 delete 1023
	tool -C ens1f0np0 adaptive-rx on adaptive-tx on
	tool -L ens1f0np0 combined 63
	tool -G ens1f0np0 rx 1024 tx 1024
	put '1500' /sys/class/net/ens1f0np0/mtu
	tool -K ens1f0np0 rx-lro on
	tool -K ens1f0np0 rx-ntuple-filter off
	tool -X ens1f0np0 default
	:
}

case ${1:-} in
apply | revert) "$1" ;;
*) say "usage: sh $0 apply|revert" >&2; exit 2 ;;
esac
