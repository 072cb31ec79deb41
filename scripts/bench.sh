#!/usr/bin/env bash
# Measures Gannet beside its rivals: out/bench.json and out/bench.html.
# ONLY=row measures one row, FULL=1 more and longer rounds, QUICK=1 shows within two
# minutes that the suite works. Exit 0 when everything was measured, met or missed.
set -euo pipefail
cd "$(dirname "$0")/.."
GO=${GO:-go}
export CGO_ENABLED=0

scripts/rivals.sh out/rivals
mkdir -p out
(cd benchmarks && $GO build -trimpath -o ../out/gannet-benchmarks ./cmd/gannet-benchmarks)

name=bench flags=()
if [ "${QUICK:-}" = 1 ]; then
	name=bench-quick flags=(-quick)
fi
status=0
out/gannet-benchmarks run "${flags[@]}" -out "out/$name.json" -html "out/$name.html" || status=$?
[ -e "out/$name.json" ] && out/gannet-benchmarks check "out/$name.json"
exit $status
