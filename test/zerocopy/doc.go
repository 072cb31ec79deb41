// Command zerocopy shows that replies leave without a copy, on real drivers, in an
// emulated machine: QEMU with two igb cards, then with two virtio-net cards, which
// one hub joins. The guest (package guest) runs a real node on one card and clients on
// the other, and tells what it saw on its serial console; this program builds the
// machine's file system, boots it, and makes rows of that.
//
// scripts/zerocopy.sh brings QEMU and the kernel; nothing is installed.
package main
