#!/usr/bin/env bash
# The README's first minute, as a new user types it: start a node, put, get, stop.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
log=$dir/dev.log
bin/gannet dev >"$log" 2>&1 &
dev=$!
trap 'kill $dev 2>/dev/null || true; wait $dev 2>/dev/null || true; rm -rf "$dir"' EXIT

for _ in $(seq 100); do
	curl -fsS -o /dev/null http://127.0.0.1:9743/readyz 2>/dev/null && break
	kill -0 $dev || { cat "$log"; exit 1; }
	read -rt 0.2 <> <(:) || true
done
cat "$log"
bin/gannet put greeting hello --ttl 60s
[ "$(bin/gannet get greeting)" = hello ]
bin/gannet delete greeting
status=0; bin/gannet get greeting || status=$?
[ $status -eq 1 ]

kill -TERM $dev
wait $dev
if pgrep -x gannet-dataplane >/dev/null; then echo "the data plane outlived its node"; exit 1; fi
echo "smoke: passed"
