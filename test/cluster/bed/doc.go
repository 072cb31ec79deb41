// Package bed builds real clusters of Gannet nodes on one machine, to break them:
//
//	namespace …-switch                     namespace …-client
//	  bridge br0 ── p0 ─────────────────── eth0  10.79.0.1/16   this program, clients
//	        ├────── p1 ── …-n1             eth0  10.79.B.11     gannet node, gannet-dataplane
//	        ├────── p2 ── …-n2             eth0  10.79.B.12
//	        └────── pE ── …-e1             eth0  10.79.B.2      etcd: this program, started again
//
// [Enter] is the first line of main: it makes switch and client, and has the program
// run on inside the client's namespace, so that every socket that it opens is there.
// [New] makes a cluster; each node is started as users do, by `gannet node`, with
// AF_XDP on its interface. A [Node] dies, stops, is cut off by its switch port, loses
// packets, and comes back. What a port does to packets is a small BPF program on it
// (middlebox.go): Linux need not have netem.
//
// Nothing of the host's own network is touched. Close takes a cluster away; when the
// program ends, however it does, the process outside removes the rest, and what dead
// ones left behind is removed at the next start.
package bed
