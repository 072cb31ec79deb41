#!/usr/bin/env bash
# The README's first minute, as a new user types it: start a node, put, get, stop.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
mkfifo "$dir/says"
bin/gannet dev >"$dir/says" 2>&1 &
dev=$!
trap 'kill $dev 2>/dev/null || true; wait $dev 2>/dev/null || true; rm -rf "$dir"' EXIT

# The node says when it is ready, and what to try.
exec 3<"$dir/says"
ready=
while read -rt 30 line <&3; do
	printf '%s\n' "$line"
	case $line in *"is ready"*) ready=1 ;; *Ctrl-C*) break ;; esac
done
[ -n "$ready" ] || { echo "smoke: the node did not become ready"; exit 1; }
cat <&3 &

bin/gannet put greeting hello --ttl 60s
[ "$(bin/gannet get greeting)" = hello ]
bin/gannet delete greeting
status=0; bin/gannet get greeting || status=$?
[ $status -eq 1 ]

children=$(cat /proc/$dev/task/*/children)
[ -n "$children" ] || { echo "smoke: the node has no data plane"; exit 1; }
kill -TERM $dev
wait $dev
for child in $children; do
	[ ! -d "/proc/$child" ] || { echo "smoke: the data plane outlived its node"; exit 1; }
done
echo "smoke: passed"
