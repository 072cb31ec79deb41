#!/usr/bin/env bash
# Zero copy on real drivers: unpacks QEMU and a kernel from Debian's packages into a
# cache (nothing is installed, nothing of the system is changed), builds the static
# binaries, and runs test/zerocopy, which boots the machine and writes out/zerocopy.json.
#
#   GANNET_ZEROCOPY_CACHE    where packages are unpacked; default ~/.cache/gannet/zerocopy
#   GANNET_ZEROCOPY_MIRROR   Debian mirror; default: that of the system's own sources
#   GANNET_ZEROCOPY_KEYRING  Debian's archive keys; default: those of the system
#   GANNET_ZEROCOPY_ACCEL    QEMU's accelerators, in order; default: software emulation
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${GANNET_ZEROCOPY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gannet/zerocopy}
qemu_suite=bookworm-backports # QEMU 10.0
kernel_suite=trixie-backports # Linux 7.3

die() {
	echo "zerocopy: $*" >&2
	exit 1
}

# mirror_of_system prints the first Debian mirror that the system's sources name.
mirror_of_system() {
	{ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } |
		sed -nE 's/#.*//; s,.*(https?://[^ ]*/debian)/?( .*)?$,\1,p' | sed -n 1p
}

# apt keeps all it knows in the cache: its state is empty, so that "install" names
# everything that QEMU needs, the C library included.
apt_private() { # apt_private COMMAND ARGUMENTS…
	local command=$1
	shift
	"apt-$command" -q -oDir::Etc::sourcelist="$cache/apt/sources.list" -oDir::Etc::sourceparts=/dev/null \
		-oDir::Etc::preferences=/dev/null -oDir::Etc::preferencesparts=/dev/null \
		-oDir::State="$cache/apt" -oDir::State::lists="$cache/apt/lists" -oDir::State::status="$cache/apt/status" \
		-oDir::Cache="$cache/apt" -oDir::Cache::archives="$cache/apt/archives" -oAPT::Architecture=amd64 \
		-oAPT::Install-Recommends=false -oAPT::Sandbox::User="$(id -un)" -oDebug::NoLocking=true \
		-oAcquire::Retries=3 "$@"
}

fetch_packages() {
	local mirror keyring release
	{ command -v apt-get && command -v dpkg-deb; } >/dev/null ||
		die "QEMU and the kernel come from Debian's packages: apt-get and dpkg-deb are needed to unpack them"
	mirror=${GANNET_ZEROCOPY_MIRROR:-$(mirror_of_system)}
	[ -n "$mirror" ] || die "no Debian mirror among this system's package sources: set GANNET_ZEROCOPY_MIRROR to one"
	keyring=${GANNET_ZEROCOPY_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
	[ -r "$keyring" ] || die "no Debian archive keys in $keyring: install debian-archive-keyring or set GANNET_ZEROCOPY_KEYRING"
	mkdir -p "$cache"/apt/lists/partial "$cache"/apt/archives/partial
	: >"$cache/apt/status"
	local suite
	for suite in "${qemu_suite%-backports}" "$qemu_suite" "$kernel_suite"; do
		echo "deb [signed-by=$keyring] $mirror $suite main"
	done >"$cache/apt/sources.list"
	apt_private get update >"$cache/apt/log" 2>&1 || die "package lists cannot be had from $mirror: $(tail -n 3 "$cache/apt/log")"
	release=$(apt_private cache depends "linux-image-amd64/$kernel_suite" | sed -nE 's/.*Depends: linux-image-([0-9].*)/\1/p')
	[ -n "$release" ] || die "$mirror has no kernel in $kernel_suite"
	apt_private get install --download-only -y -t "$qemu_suite" qemu-system-x86 >>"$cache/apt/log" 2>&1 ||
		die "QEMU cannot be had from $mirror: $(tail -n 3 "$cache/apt/log")"
	(cd "$cache/apt/archives" && apt_private get download "linux-binary-$release/$kernel_suite" "linux-modules-$release/$kernel_suite") \
		>>"$cache/apt/log" 2>&1 || die "the kernel $release cannot be had from $mirror: $(tail -n 3 "$cache/apt/log")"
	echo "$release" >"$cache/kernel-release"
}

unpack_packages() {
	local package
	rm -rf "$cache/root"
	mkdir -p "$cache/root"
	for package in "$cache"/apt/archives/*.deb; do
		dpkg-deb -x "$package" "$cache/root" || die "$package is damaged: remove $cache and try again"
	done
	rm -rf "$cache/apt/archives" "$cache/apt/lists"
}

# The file's name changes with what is in the cache.
ready=$cache/ready-$qemu_suite-$kernel_suite-1
if [ ! -e "$ready" ]; then
	echo "zerocopy: fetching QEMU and a kernel into $cache (about 130 MB, once)" >&2
	fetch_packages
	unpack_packages
	touch "$ready"
fi
[ "${1:-}" = fetch ] && exit 0

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
export CGO_ENABLED=0
# The tag makes the data plane compare both accounts of its frames in every turn.
go build -tags invariants -trimpath -ldflags '-s -w' -o "$build/" ./cmd/gannet ./cmd/gannet-dataplane ./test/zerocopy/guest
go run ./test/zerocopy -accel "${GANNET_ZEROCOPY_ACCEL:-tcg,thread=multi}" -root "$cache/root" -kernel "$(cat "$cache/kernel-release")" -binaries "$build" -out out/zerocopy.json
