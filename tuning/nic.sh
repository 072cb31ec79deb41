#!/bin/sh
# shellcheck disable=SC2034,SC2317 # settings and functions that this group has no use for
# What follows was generated from the table of knobs in gannet's package tuning: do not edit.
#
# Usage: sh nic.sh plan|apply|revert
#   plan    print what differs; change nothing
#   apply   set it, after writing down how to undo it; on an error undo this run
#   revert  undo every run of apply, last change first
#
# Settings, by environment:
#   ROLE        dataplane (default), client or generator
#   NIC         the interface that carries the cache's traffic; without it interfaces are left alone
#   SHARD_CPUS  processors of the shards, "2 3 4"; default: the first threads of the NIC's memory node, without CPU 0
#   IRQ_CPUS    processors of the queues' interrupts; default: the second threads beside the shards, or the shards' own
#   SHARDS      number of shards and queues; default: the number of SHARD_CPUS
#   DATA_PORT   UDP port of shard 0; default 9800
#   MTU         wanted MTU; default: as it is
#   HUGEPAGES_PER_NODE  2 MiB pages on each memory node; default: as they are
#   STATE       folder of the undo file; default /var/lib/gannet/tuning
set -u
MODE=${1:-}
ROLE=${ROLE:-dataplane}
NIC=${NIC:-}
DATA_PORT=${DATA_PORT:-9800}
STATE=${STATE:-/var/lib/gannet/tuning}
UNDO=$STATE/nic.undo
RUN=$UNDO.run

note() { printf '# %s\n' "$1"; }

# differs WHAT NOW WANTED
differs() { printf '%s: %s -> %s\n' "$1" "$2" "$3"; }

# undo COMMAND: writes down how to undo the change that comes next.
undo() {
	mkdir -p "$STATE" && printf '%s\n' "$1" >>"$RUN" && sync "$RUN" && return 0
	echo "cannot write $RUN: nothing more is changed" >&2
	give_up
}

# undo_all FILE: runs its lines, last first. It can be run again.
undo_all() {
	[ -e "$1" ] || return 0
	sed '1!G;h;$!d' "$1" >"$1.reversed"
	status=0
	while IFS= read -r line; do
		sh -c "$line" || { echo "not undone: $line" >&2; status=1; }
	done <"$1.reversed"
	rm -f "$1.reversed"
	[ "$status" -eq 0 ] && rm -f "$1"
	return "$status"
}

give_up() {
	undo_all "$RUN" && echo "undone: what this run had set" >&2
	exit 1
}

failed() {
	echo "$1 could not be set" >&2
	give_up
}

# put FILE VALUE
put() {
	[ -w "$1" ] || { note "$1: not on this machine, or not to be set"; return 0; }
	now=$(tr '\t' ' ' <"$1" 2>/dev/null) || { note "$1: cannot be read"; return 0; }
	[ "$now" = "$2" ] && return 0
	differs "$1" "$now" "$2"
	[ "$MODE" = apply ] || return 0
	undo "[ ! -e '$1' ] || echo '$now' >'$1'"
	echo "$2" >"$1" || failed "$1"
}

# put_choice FILE WORD: for files like "always [madvise] never".
put_choice() {
	[ -w "$1" ] || { note "$1: not on this machine, or not to be set"; return 0; }
	now=$(sed -n 's/.*\[\(.*\)\].*/\1/p' "$1")
	[ "$now" = "$2" ] && return 0
	differs "$1" "$now" "$2"
	[ "$MODE" = apply ] || return 0
	undo "echo '$now' >'$1'"
	echo "$2" >"$1" || failed "$1"
}

# tool_set WHAT NOW WANTED ETHTOOL-ARGUMENTS…, to which the value is added
tool_set() {
	what=$1 now=$2 wanted=$3
	shift 3
	case $now in
	"" | n/a) note "$what: $NIC does not offer it"; return 0 ;;
	"$wanted") return 0 ;;
	esac
	differs "$NIC $what" "$now" "$wanted"
	[ "$MODE" = apply ] || return 0
	undo "ethtool $* $now"
	ethtool "$@" "$wanted" >&2 || failed "$what"
}

# maximum and present FLAG NAME: a number from the output of ethtool -l or -g
maximum() { ethtool "$1" "$NIC" 2>/dev/null | awk -v k="$2:" '/^Pre-set/{s=1} /^Current/{s=2} s==1 && $1==k && $2 ~ /^[0-9]+$/ {n=$2} END{print n+0}'; }
present() { ethtool "$1" "$NIC" 2>/dev/null | awk -v k="$2:" '/^Pre-set/{s=1} /^Current/{s=2} s==2 && $1==k {print $2}'; }
channels_max() { maximum -l "$1"; }
channels_now() { present -l "$1"; }
ring_max() { maximum -g "$1"; }
ring_now() { present -g "$1"; }
least() { if [ "$1" -lt "$2" ]; then echo "$1"; else echo "$2"; fi; }

# feature NAME: on or off; nothing when it cannot be changed
feature() { ethtool -k "$NIC" 2>/dev/null | awk -v k="$1:" '$1==k && $3!="[fixed]" {print $2}'; }

coalesce_adaptive() { ethtool -c "$NIC" 2>/dev/null | awk '/^Adaptive RX:/ {print $3}'; }
coalesce_number() { ethtool -c "$NIC" 2>/dev/null | awk -v k="$1:" '$1==k {print $2}'; }

# flow_rule udp4|udp6 PORT QUEUE
flow_rule() {
	rules=$(ethtool -n "$NIC" 2>/dev/null) || { note "flow rules: $NIC does not offer them"; return 0; }
	kind="UDP over IPv4"
	[ "$1" = udp6 ] && kind="UDP over IPv6"
	if printf '%s\n' "$rules" | awk -v kind="$kind" -v port="$2" -v queue="$3" '
		/Rule Type:/ {right = index($0, kind)} /Dest port:/ {same = $3 == port} /Action:/ && right && same && $NF == queue {found = 1}
		END {exit !found}'; then
		return 0
	fi
	differs "$NIC $1 port $2" absent "queue $3"
	[ "$MODE" = apply ] || return 0
	answer=$(ethtool -N "$NIC" flow-type "$1" dst-port "$2" action "$3" 2>&1) || {
		note "flow rule for $1 port $2: $NIC does not take it: $answer"
		return 0
	}
	undo "ethtool -N $NIC delete ${answer##* }"
}

# mask CPU FILE: the CPU as a bitmap as long as the one in the file
mask() {
	first=$(cut -d, -f1 <"$2") groups=$(tr -cd , <"$2" | wc -c) text=
	while [ "$groups" -ge 0 ]; do
		bits=0
		[ $(($1 / 32)) -eq "$groups" ] && bits=$((1 << ($1 % 32)))
		if [ -z "$text" ]; then text=$(printf "%0${#first}x" "$bits"); else text=$text,$(printf '%08x' "$bits"); fi
		groups=$((groups - 1))
	done
	echo "$text"
}

# word N LIST: its word number N, or nothing
word() { printf '%s\n' "$2" | cut -d' ' -f"$1"; }

# nic_irqs: a line "interrupt:queue" for each of the interface's queues
nic_irqs() {
	for f in "/sys/class/net/$NIC/device/msi_irqs"/* "/sys/class/net/$NIC/device/../msi_irqs"/*; do
		[ -e "$f" ] || continue
		irq=${f##*/}
		queue=$(awk -v irq="$irq:" '$1 == irq {print $NF}' /proc/interrupts |
			sed -n -E 's/.*(_comp|[Tt]x[Rr]x-|[Tt]x-[Rr]x-|input\.|output\.|-rx-|-tx-)([0-9]+)(@.*)?$/\2/p')
		[ -n "$queue" ] && echo "$irq:$queue"
	done
}

# expand LIST: 0-3,8 as words
expand() {
	for part in $(printf '%s' "$1" | tr ',' ' '); do
		cpu=${part%-*}
		while [ "$cpu" -le "${part#*-}" ]; do
			echo "$cpu"
			cpu=$((cpu + 1))
		done
	done
}

siblings() { cat "/sys/devices/system/cpu/cpu$1/topology/thread_siblings_list" 2>/dev/null || echo "$1"; }

if [ -z "${SHARD_CPUS:-}" ]; then
	SHARD_CPUS=
	near=/sys/class/net/$NIC/device/local_cpulist
	{ [ -n "$NIC" ] && [ -r "$near" ]; } || near=/sys/devices/system/cpu/online
	for cpu in $(expand "$(cat "$near")"); do
		threads=$(expand "$(siblings "$cpu")" | tr '\n' ' ')
		[ "$cpu" -ne 0 ] && [ "$(word 1 "$threads")" = "$cpu" ] && SHARD_CPUS="$SHARD_CPUS $cpu"
	done
	SHARD_CPUS=${SHARD_CPUS# }
fi
if [ -z "${IRQ_CPUS:-}" ]; then
	IRQ_CPUS=
	for cpu in $SHARD_CPUS; do
		threads=$(expand "$(siblings "$cpu")" | tr '\n' ' ')
		second=$(word 2 "$threads")
		IRQ_CPUS="$IRQ_CPUS ${second:-$cpu}"
	done
	IRQ_CPUS=${IRQ_CPUS# }
fi
SHARDS=${SHARDS:-$(echo "$SHARD_CPUS" | wc -w)}

case $MODE in
plan) ;;
apply)
	# A run that was killed is part of what revert undoes.
	[ -e "$RUN" ] && { cat "$RUN" >>"$UNDO" && rm -f "$RUN"; }
	;;
revert)
	undo_all "$RUN" && undo_all "$UNDO"
	exit
	;;
*)
	echo "usage: sh nic.sh plan|apply|revert (the settings are at the top of the file)" >&2
	exit 2
	;;
esac

# nic.ntuple: a flow rule for each UDP port needs the filter unit on
# Source: ethtool(8), --features and --config-ntuple; Documentation/networking/scaling.rst, accelerated RFS.
if [ -n "$NIC" ] && [ "$ROLE" = dataplane ]; then
	tool_set "ntuple" "$(feature ntuple-filters)" on -K "$NIC" ntuple
fi

# nic.lro: native XDP cannot look at merged packets: drivers refuse the program or fall back
# Source: Documentation/networking/netdev-features.rst; net/core/dev.c turns it off for generic XDP.
if [ -n "$NIC" ] && { [ "$ROLE" = dataplane ] || [ "$ROLE" = generator ]; }; then
	tool_set "lro" "$(feature large-receive-offload)" off -K "$NIC" lro
fi

# nic.mtu: a packet then holds eight values of 1 KB instead of one, and a 100 KB value takes 13 packets instead of 100
# Source: the design document, "to handle TCP Incast, we use jumbo frames"; IEEE 802.3 has no standard for it, vendors agree on 9000.
if [ -n "$NIC" ]; then
	[ -n "${MTU:-}" ] && put "/sys/class/net/$NIC/mtu" "$MTU"
fi

# nic.rings: 2048 descriptors hold a burst of 170 µs at full packet rate (12 Mpps) and still fit in the cache share that DMA writes to
# Source: Intel, Ethernet 800 Series Linux performance tuning guide, "Tx/Rx descriptor ring sizes"; Farshin et al., "Reexamining Direct Cache Access", USENIX ATC 2020.
if [ -n "$NIC" ]; then
	max_rx=$(ring_max RX) max_tx=$(ring_max TX)
	want_rx=$(least "$max_rx" 2048) want_tx=$(least "$max_tx" 2048)
	[ "${max_rx:-0}" -gt 0 ] && tool_set "ring rx" "$(ring_now RX)" "$want_rx" -G "$NIC" rx
	[ "${max_tx:-0}" -gt 0 ] && tool_set "ring tx" "$(ring_now TX)" "$want_tx" -G "$NIC" tx
fi

# nic.channels: an AF_XDP socket sees one queue, so each shard needs its own and every other queue needs a hand-over
# Source: Documentation/networking/af_xdp.rst; Intel, 800 Series tuning guide, "reduce the number of queues to the cores in use".
if [ -n "$NIC" ] && { [ "$ROLE" = dataplane ] || [ "$ROLE" = generator ]; }; then
	if [ "$(channels_max Combined)" -gt 0 ]; then
		tool_set "channels" "$(channels_now Combined)" "$SHARDS" -L "$NIC" combined
	elif [ "$(channels_max RX)" -gt 0 ]; then
		tool_set "channels tx" "$(channels_now TX)" "$SHARDS" -L "$NIC" tx
		tool_set "channels rx" "$(channels_now RX)" "$SHARDS" -L "$NIC" rx
	fi
fi

# nic.rss: clients that learn their queue can only reach queues that the table has, evenly
# Source: Documentation/networking/scaling.rst, RSS configuration.
if [ -n "$NIC" ] && { [ "$ROLE" = dataplane ] || [ "$ROLE" = generator ]; }; then
	# The driver's own table follows the number of queues; one that was set by hand is left alone.
	if ethtool -x "$NIC" >/dev/null 2>&1; then note "spread over queues: see that ethtool -x $NIC shows all $SHARDS queues evenly"; fi
fi

# nic.coalesce: adaptive moderation waits up to hundreds of µs when the load changes; 8 µs is under a hundredth of the 1 ms goal, and still spares most interrupts
# Source: tuned, profile network-latency; Mellanox/NVIDIA, "Performance tuning for Mellanox adapters", low latency: adaptive off.
if [ -n "$NIC" ]; then
	tool_set "adaptive-rx" "$(coalesce_adaptive)" off -C "$NIC" adaptive-rx
	tool_set "rx-usecs" "$(coalesce_number rx-usecs)" 8 -C "$NIC" rx-usecs
	tool_set "tx-usecs" "$(coalesce_number tx-usecs)" 8 -C "$NIC" tx-usecs
fi

# nic.flow: a request then arrives on the core that has its data, and no core touches another's
# Source: ethtool(8), --config-ntuple; MICA, NSDI 2014 (client-assisted flow steering).
if [ -n "$NIC" ] && [ "$ROLE" = dataplane ]; then
	queue=0
	while [ "$queue" -lt "$SHARDS" ]; do
		for family in udp4 udp6; do
			flow_rule "$family" "$((DATA_PORT + queue))" "$queue"
		done
		queue=$((queue + 1))
	done
fi

# nic.rps: packets are on the right core already; moving them once more costs an interrupt between processors each
# Source: Documentation/networking/scaling.rst, "RPS is redundant" with as many queues as cores.
if [ -n "$NIC" ] && { [ "$ROLE" = dataplane ] || [ "$ROLE" = generator ]; }; then
	for f in "/sys/class/net/$NIC"/queues/rx-*/rps_cpus; do
		[ -e "$f" ] && [ -n "$(tr -d '0,\n' <"$f")" ] && put "$f" 0
	done
fi

# nic.xps: completions then come back to the core that sent, and no two cores share a transmit lock
# Source: Documentation/networking/scaling.rst, XPS.
if [ -n "$NIC" ] && { [ "$ROLE" = dataplane ] || [ "$ROLE" = generator ]; }; then
	queue=0
	for cpu in $SHARD_CPUS; do
		f="/sys/class/net/$NIC/queues/tx-$queue/xps_cpus"
		cat "$f" >/dev/null 2>&1 && put "$f" "$(mask "$cpu" "$f")"
		queue=$((queue + 1))
	done
fi

# nic.defer_hard_irqs: a shard that polls by itself (SO_PREFER_BUSY_POLL) is not interrupted for packets that it is about to fetch
# Source: Documentation/networking/napi.rst, "IRQ mitigation"; Linux commit 7fd3253a7de6 (preferred busy polling, same values).
if [ -n "$NIC" ] && { [ "$ROLE" = dataplane ] || [ "$ROLE" = generator ]; }; then
	put "/sys/class/net/$NIC/napi_defer_hard_irqs" 2
fi

# nic.gro_flush_timeout: it is the watchdog behind napi_defer_hard_irqs: it bounds what a shard that stopped polling can delay
# Source: Documentation/networking/napi.rst, "IRQ mitigation"; Linux commit 7fd3253a7de6.
if [ -n "$NIC" ] && { [ "$ROLE" = dataplane ] || [ "$ROLE" = generator ]; }; then
	put "/sys/class/net/$NIC/gro_flush_timeout" 200000
fi

if [ "$MODE" = apply ] && [ -e "$RUN" ]; then
	cat "$RUN" >>"$UNDO" && sync "$UNDO" && rm -f "$RUN"
fi
exit 0
