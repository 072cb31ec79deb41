#!/bin/sh
# Makes a Debian package of what `make build` has built.
# Usage: deploy/deb/build.sh [OUT-FOLDER]   (by environment: VERSION=1.2.3, else git describe; BIN=folder of the binaries)
set -eu
cd "$(dirname "$0")/../.."
out=${1:-out}
bin=${BIN:-bin}
version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo unknown)}
version=$(printf '%s' "${version#v}" | tr -c 'A-Za-z0-9.+~\n' '+')
# A version begins with a digit and sorts before every release.
case $version in
[0-9]*.*) ;;
*) version=0~git+$version ;;
esac
arch=$(dpkg --print-architecture)

for binary in gannet gannet-dataplane; do
	[ -x "$bin/$binary" ] || { echo "$bin/$binary is missing: make build" >&2; exit 1; }
done

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
put() { install -D -m "$1" "$2" "$root/$3"; }

put 755 "$bin"/gannet usr/bin/gannet
put 755 "$bin"/gannet-dataplane usr/bin/gannet-dataplane
put 640 deploy/gannet.yaml etc/gannet/gannet.yaml
for unit in deploy/systemd/*.service; do put 644 "$unit" "usr/lib/systemd/system/${unit##*/}"; done
for script in nic irq cpu memory net; do put 755 "tuning/$script.sh" "usr/share/gannet/tuning/$script.sh"; done
for page in docs/*.md; do put 644 "$page" "usr/share/doc/gannet/${page##*/}"; done
install -d "$root/usr/share/bash-completion/completions"
"$bin"/gannet completion bash >"$root/usr/share/bash-completion/completions/gannet"

install -d "$root/DEBIAN"
for script in postinst prerm postrm; do install -m 755 "deploy/deb/$script" "$root/DEBIAN/$script"; done
echo /etc/gannet/gannet.yaml >"$root/DEBIAN/conffiles"
cat >"$root/DEBIAN/control" <<CONTROL
Package: gannet
Version: $version
Architecture: $arch
Maintainer: Gannet developers <gannet@localhost>
Installed-Size: $(du -sk "$root" | cut -f1)
Depends: passwd
Suggests: ethtool, irqbalance
Section: database
Priority: optional
Description: distributed in-memory cache
 Gannet is a look-aside cache that answers datagrams beside the kernel's
 network stack. This package has both processes of a node, the tuning of
 hosts, and units for systemd, which it does not start by itself.
CONTROL

mkdir -p "$out"
dpkg-deb --root-owner-group -Zgzip --build "$root" "$out/gannet_${version}_$arch.deb" >&2
echo "$out/gannet_${version}_$arch.deb"
