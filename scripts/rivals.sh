#!/usr/bin/env bash
# Installs what the benchmarks compare Gannet with, from this release's Debian
# packages, and compiles the C rivals into out/rivals.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-out/rivals}

declare -A packages=(
	[memcached]=memcached [redis-server]=redis-server [gcc]=gcc [clang-14]=clang-14
	[/usr/include/stdio.h]=libc6-dev [/usr/include/linux/bpf.h]=linux-libc-dev
	[/usr/include/bpf/libbpf.h]=libbpf-dev [/usr/include/libelf.h]=libelf-dev [/usr/include/zlib.h]=zlib1g-dev
)
missing=()
for probe in "${!packages[@]}"; do
	command -v "$probe" >/dev/null 2>&1 || [ -e "$probe" ] || missing+=("${packages[$probe]}")
done
if [ ${#missing[@]} -gt 0 ]; then
	if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ]; then
		echo "rivals: as root, on Debian: apt-get install ${missing[*]}" >&2
		exit 1
	fi
	echo "rivals: installing ${missing[*]}" >&2
	log=$(mktemp)
	if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
		tail -n 5 "$log" >&2
		exit 1
	fi
	rm -f "$log"
	# Debian starts services of both; measurements start their own.
	for service in memcached redis-server; do
		service "$service" stop >/dev/null 2>&1 || true
	done
fi

src=benchmarks/rival/native
mkdir -p "$out"
for program in echo reflect; do
	clang-14 -O2 -g -target bpf -mcpu=v3 -I"/usr/include/$(gcc -dumpmachine)" -Wall -Werror -c "$src/$program.bpf.c" -o "$out/$program.bpf.o"
done
gcc -O3 -march=native -Wall -Wextra -Werror -o "$out/echo" "$src/echo.c" -lbpf -lelf -lz
