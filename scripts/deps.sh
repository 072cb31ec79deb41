#!/usr/bin/env bash
# Installs what a make target needs beyond Go, git and make, from the Debian
# packages of this release. Usage: deps.sh test|race|generate|check
set -euo pipefail

declare -A packages=(
	[test]="tshark:tshark python3:python3 curl:curl shellcheck:shellcheck ethtool:ethtool systemd-analyze:systemd ip:iproute2"
	[race]="gcc:gcc /usr/include/stdio.h:libc6-dev"
	[generate]="clang-14:clang-14 llvm-strip-14:llvm-14 /usr/include/bpf/bpf_helpers.h:libbpf-dev /usr/include/linux/bpf.h:linux-libc-dev"
	[check]="memcached:memcached"
)
want=${packages[${1:?usage: deps.sh ${!packages[*]}}]}

missing=()
for pair in $want; do
	probe=${pair%%:*} package=${pair##*:}
	command -v "$probe" >/dev/null 2>&1 || [ -e "$probe" ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	echo "deps: install ${missing[*]} with this system's package manager; tests that need them are skipped until then" >&2
	exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "deps: as root, run: apt-get install ${missing[*]}; tests that need them are skipped until then" >&2
	exit 0
fi
echo "deps: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
# A package that cannot be had must not stop the rest: its tests say that they are skipped.
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/tmp/gannet-deps.log 2>&1; then
	tail -n 5 /tmp/gannet-deps.log >&2
	exit 1
fi
# Debian starts a memcached service; measurements start their own.
if [[ " ${missing[*]} " == *" memcached "* ]] && command -v service >/dev/null; then
	service memcached stop >/dev/null 2>&1 || true
fi
