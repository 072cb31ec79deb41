#!/usr/bin/env bash
# Microbenchmarks against the committed ratios and allocation counts
# (test/microbench). UPDATE=1 makes what is measured the baseline; COUNT and
# BENCHTIME say how much that is.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=${CGO_ENABLED:-0}
mkdir -p out
go test -run '^$' -bench . -count "${COUNT:-5}" -benchtime "${BENCHTIME:-200ms}" ./test/microbench >out/microbench.txt || {
	cat out/microbench.txt
	exit 1
}
go tool benchstat out/microbench.txt
go run ./test/microbench -in out/microbench.txt ${UPDATE:+-update}
