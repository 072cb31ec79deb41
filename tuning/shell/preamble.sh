# What follows was generated from the table of knobs in gannet's package tuning: do not edit.
#
# Usage: sh @NAME@.sh plan|apply|revert
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
UNDO=$STATE/@NAME@.undo
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
	echo "usage: sh @NAME@.sh plan|apply|revert (the settings are at the top of the file)" >&2
	exit 2
	;;
esac
