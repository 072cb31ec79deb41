// Command 100gbe measures Gannet over a real link between two hosts: how far it goes
// towards line rate, on which rung of the datapath ladder, with which placement of
// shards and memory, with small frames and with jumbo frames.
//
//	go run ./100gbe -inventory hosts.yaml -bin ../bin -out ../out/100gbe.json
//	go run ./100gbe -lab -bin ../bin -out ../out/100gbe-lab.json
//
// # Life of a run
//
// The inventory (inventory.yaml is a commented example) names the two hosts and what
// to vary. Nothing needs to be installed there but a shell: the program copies
// itself to the client, Gannet's binaries to the server, by ssh, and removes them in
// the end. Before anything starts both hosts are checked: interface, speed, rungs,
// what `gannet tune plan` would change. Then, case by case, it sets the MTU, starts a
// node, stores the keys, raises the offered rate until the loss exceeds 0.1 % or the
// link is full, lets perf look at the server meanwhile, and ends the node. MTUs are
// put back as they were.
//
// With -lab both hosts are namespaces of this machine, joined by a veth pair. The
// figures mean nothing then; every step is the same.
//
// # Invariants
//
//   - A case that did not run on the rung it asked for is void, and says which rung
//     it got.
//   - A node ends when the connection to its host does.
package main
