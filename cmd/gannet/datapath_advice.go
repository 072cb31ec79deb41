package main

import (
	"fmt"
	"os"
	"slices"

	"gannet/dataplane/port"
	"gannet/dataplane/xsk"
)

// kernelFault is a fault of some kernels that matters to the data path.
type kernelFault struct {
	from, fixed [3]int
	text        string
}

var kernelFaultList = []kernelFault{
	{[3]int{6, 6, 0}, [3]int{6, 18, 44}, "a bad packet of several buffers leaks frames (CVE-2026-74559, CVE-2026-74560): replies are not sent from slabs by descriptor; Linux 6.18.44 has the fix"},
	{[3]int{0, 0, 0}, [3]int{6, 6, 0}, "no packets of several buffers on AF_XDP: keep the MTU at 3498 or below; Linux 6.6 has them"},
	{[3]int{0, 0, 0}, [3]int{5, 11, 0}, "no preferred busy polling: under load interrupts get in the shard's way; Linux 5.11 has it"},
}

// kernelFaults lists the known faults of a kernel, by its version as 6.18.44.
func kernelFaults(version string) []string {
	var v [3]int
	// What is not there stays 0.
	_, _ = fmt.Sscanf(version, "%d.%d.%d", &v[0], &v[1], &v[2])
	found := []string{}
	for _, f := range kernelFaultList {
		if slices.Compare(v[:], f.from[:]) >= 0 && slices.Compare(v[:], f.fixed[:]) < 0 {
			found = append(found, f.text)
		}
	}
	return found
}

// singleBufferMTU is the longest MTU at which a packet stays in one buffer.
const singleBufferMTU = 3498

// advise gives commands that would better the rung, or what it is worth.
func (i *interfaceJSON) advise(r *xsk.Report) []string {
	var help []string
	add := func(command, what string) { help = append(help, command+"  # "+what) }
	if os.Geteuid() != 0 {
		add("sudo gannet datapath probe "+i.Interface, "AF_XDP sockets need CAP_NET_RAW, and the XDP program CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN")
	}
	if r.ProgramID != 0 {
		add("ip link set dev "+i.Interface+" xdp off", "takes away the XDP program that is there; stop its owner first")
	}
	if !i.Up {
		add("ip link set dev "+i.Interface+" up", "XDP and every socket need it")
	}
	if i.Native && !i.MultiBuffer && i.MTU > singleBufferMTU {
		add(fmt.Sprintf("ip link set dev %s mtu %d", i.Interface, singleBufferMTU), "native XDP, which takes no longer packets here")
	}
	if i.Ntuple == "off" {
		add("ethtool -K "+i.Interface+" ntuple on", "flow rules then bring each request to its shard's queue")
	}
	if i.Native && i.Driver != "veth" && i.Takes != port.RungUDP.String() {
		add("gannet tune plan --nic "+i.Interface, "queues, interrupts and rules for the shards")
	}
	return help
}
