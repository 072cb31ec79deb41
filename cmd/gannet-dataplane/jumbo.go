package main

import (
	"net"
	"net/netip"
)

const (
	headerBytes    = 28   // of IPv4 and UDP
	ethernetMTU    = 1500 // what every path is expected to take
	mostJumboMTU   = 9216
	frameGridBytes = 2048
)

// udpLimits is the longest reply of the node's kernel sockets, and the room that a
// frame needs for it: as long as the interfaces' MTU lets through. What the path to a
// client takes, the client finds out.
func udpLimits(listen netip.Addr, device string) (maxPayload, frameBytes int) {
	maxPayload = longestMTU(listen, device) - headerBytes
	return maxPayload, (maxPayload + frameGridBytes - 1) / frameGridBytes * frameGridBytes
}

// longestMTU is that of the interfaces that an address, or the name of one, stands
// for. The loopback one's is left alone: nothing is gained there by frames of 64 KiB.
func longestMTU(listen netip.Addr, device string) int {
	longest := ethernetMTU
	devices, err := net.Interfaces()
	if err != nil {
		return longest
	}
	for i := range devices {
		d := &devices[i]
		if d.Flags&net.FlagUp == 0 || d.Flags&net.FlagLoopback != 0 || (device != "" && d.Name != device) {
			continue
		}
		if listen.IsValid() && !listen.IsUnspecified() && !holds(d, listen) {
			continue
		}
		longest = max(longest, min(d.MTU, mostJumboMTU))
	}
	return longest
}

func holds(d *net.Interface, address netip.Addr) bool {
	list, err := d.Addrs()
	if err != nil {
		return false
	}
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(net.IP(address.AsSlice())) {
			return true
		}
	}
	return false
}
