#!/usr/bin/env bash
# Runs go test, then says how many tests were skipped and why. As root in CI a
# skipped test is a failure: the kernel there can do all that is asked of it.
set -uo pipefail
GO=${GO:-go}
json=$(mktemp)
trap 'rm -f "$json"' EXIT

# Namespaces, ports and the two cores are shared: packages run one after the other.
$GO tool gotestsum --format pkgname --jsonfile "$json" --hide-summary=skipped -- \
	-count=1 -p 1 -timeout 20m "$@"
status=$?

skips=$(grep '"Action":"skip"' "$json" | grep -c '"Test":')
if [ "$skips" -gt 0 ]; then
	echo "skipped: $skips"
	# The reason is the line that t.Skip printed: file.go:line: text
	grep -E '"Action":"output"' "$json" | grep -oE '"Output":" +[a-z_A-Z0-9]+\.go:[0-9]+: .*(skip|need|miss|not |no |absent|root|FULL)[^"]*' |
		sed -E 's/"Output":" +//; s/\\n$//' | sort | uniq -c | sort -rn | head -n 40
	if [ "${CI:-}" = true ] && [ "$(id -u)" -eq 0 ]; then
		echo "a skipped test is a failure in CI" >&2
		[ $status -eq 0 ] && status=1
	fi
fi
exit $status
