#!/usr/bin/env bash
# Runs go test on the packages, after flags, that are its arguments. Then it says how
# many tests were skipped and why: as root in CI a skipped test is a failure, because
# the kernel there can do all that is asked of it. RERUN=1 gives one or two tests that
# fail a second chance and names them as flaky; a third failure is final at once.
set -uo pipefail
GO=${GO:-go}
json=$(mktemp)
flaky=$(mktemp)
trap 'rm -f "$json" "$flaky"' EXIT

flags=() packages=()
for arg; do
	case $arg in
	-*) flags+=("$arg") ;;
	*) packages+=("$arg") ;;
	esac
done
rerun=()
[ -n "${RERUN:-}" ] && rerun=(--rerun-fails=1 --rerun-fails-max-failures=2 --rerun-fails-report "$flaky" --rerun-fails-abort-on-data-race)

# Namespaces, ports and the two cores are shared: packages run one after the other.
$GO tool gotestsum --format pkgname --jsonfile "$json" --hide-summary=skipped "${rerun[@]}" \
	--packages "${packages[*]}" -- -count=1 -p 1 -timeout 20m "${flags[@]}"
status=$?
if [ -s "$flaky" ]; then
	echo "flaky: failed, and were run once more:"
	cat "$flaky"
fi

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
