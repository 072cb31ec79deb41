#!/usr/bin/env bash
# A small cluster, as a new user tries it: three nodes with one command, keys through one
# and back through another, a node killed, reads and writes that go on. Once in the clear
# and once with certificates. GANNET names another binary.
set -euo pipefail
cd "$(dirname "$0")/.."
gannet=${GANNET:-bin/gannet}
dir=$(mktemp -d)
dev=
trap 'if [ -n "$dev" ]; then kill $dev 2>/dev/null || true; wait $dev 2>/dev/null || true; fi; rm -rf "$dir"' EXIT

say() { printf 'smoke-cluster: %s\n' "$*"; }
fail() { say "$*"; tail -n 40 "$dir/says" "$dir/events" 2>/dev/null || true; exit 1; }
# eventually SECONDS WHAT COMMAND…: runs a command until it succeeds
eventually() {
	local until=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >"$dir/last" 2>&1; do
		[ $SECONDS -lt $until ] || { cat "$dir/last"; fail "not in time: $what"; }
		sleep 0.05
	done
}
state_of() { "$gannet" ring -o json "${tls[@]}" "${second[@]}" | grep -o "\"name\":\"$1\",\"zone\":\"[^\"]*\",\"state\":\"[a-z]*\"" | sed 's/.*:"//; s/"//'; }
is_state() { [ "$(state_of "$1")" = "$2" ]; }
put_all() { for i in $(seq "$1" "$2"); do "$gannet" put "key-$i" "value-$i" --server 127.0.0.1:9800 --timeout 5s >/dev/null || return 1; done; }

scenario() { # flags of gannet dev
	mkfifo "$dir/pipe"
	"$gannet" dev --nodes 3 "$@" >"$dir/pipe" 2>&1 &
	dev=$!
	tls=()
	local line ready= victim=
	exec 3<"$dir/pipe"
	while read -rt 60 line <&3; do
		printf '%s\n' "$line" | tee -a "$dir/says"
		case $line in
		*"nodes are ready"*) ready=1 ;;
		*node-2*zone-b*) victim=${line##* } ;;
		*"gannet ring --tls"*) read -ra tls <<<"${line#* ring }" ;;
		*Ctrl-C*) break ;;
		esac
	done
	[ -n "$ready" ] && [ -n "$victim" ] || fail "the nodes did not become ready"
	cat <&3 >>"$dir/says" &
	second=(--server 127.0.0.1:9941)

	"$gannet" watch invalidations "${tls[@]}" "${second[@]}" --count 1 >"$dir/events" 2>&1 &
	local watching=$!
	eventually 10 "the subscription" grep -q '^# drop everything' "$dir/events"
	put_all 1 100
	eventually 10 "an invalidation" grep -q '^key-' "$dir/events"
	wait $watching || fail "watch invalidations ended with $?"
	for i in $(seq 1 100); do
		[ "$("$gannet" get "key-$i" --server 127.0.0.1:10000)" = "value-$i" ] || fail "key-$i is not there"
	done
	"$gannet" ring "${tls[@]}"
	"$gannet" ring owner key-1 "${tls[@]}"

	say "killing node-2 ($victim and its data plane)"
	kill -KILL "$victim" $(cat /proc/"$victim"/task/*/children)
	local began=$SECONDS
	for i in $(seq 1 100); do
		[ "$("$gannet" get "key-$i" --server 127.0.0.1:10000 --timeout 5s)" = "value-$i" ] || fail "key-$i was lost with node-2"
	done
	put_all 101 150 || fail "writes do not go on"
	say "reads and writes went on; all of it took $((SECONDS - began)) s"
	eventually 10 "node-2 is down" is_state node-2 down

	kill -TERM $dev
	wait $dev || fail "gannet dev ended with $?"
	dev=
	rm -f "$dir/pipe" "$dir/says" "$dir/events"
}

scenario
scenario --secure
say passed
