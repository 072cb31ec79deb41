#!/usr/bin/env bash
# Runs every fuzz target of the tree for FUZZTIME.
set -euo pipefail
GO=${GO:-go}
FUZZTIME=${FUZZTIME:-10s}
out=$(mktemp)
trap 'rm -f "$out"' EXIT

run() { # run DIR TARGET
	echo "fuzz $1 $2 $FUZZTIME"
	if $GO test "$1" -run '^$' -fuzz "^$2\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 1x </dev/null >"$out" 2>&1; then
		grep -E '^fuzz: elapsed' "$out" | tail -n 1
		return
	fi
	# Go's fuzzer sometimes takes the end of its own time for a failure: then there
	# is no failing input, and nothing else is said.
	if grep -q '^ *context deadline exceeded$' "$out" && ! grep -qE 'Failing input|panic|_test\.go' "$out"; then
		echo "  ended by its deadline; no failing input"
		return
	fi
	cat "$out"
	return 1
}

targets=0
while read -r dir; do
	while read -r target; do
		run "$dir" "$target"
		targets=$((targets + 1))
	done < <(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go | awk '{print $2}')
done < <(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u)
echo "$targets fuzz targets passed"
[ "$targets" -gt 0 ]
