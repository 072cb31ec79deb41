// Package simtest runs the group logic of package replication against seeded faults:
// the same step code, with everything around it modelled.
//
// # Life of a run
//
// A seed makes a world: three to five machines, each with a data plane (items,
// tombstones, a log) and a control process (a Node and a Controller, driven as a real
// one would); a network that loses, doubles, delays, reorders and cuts; an etcd that
// can stop; clients. One queue of events, ordered by the true time, is all that moves.
// Each machine has a boot clock of its own, which drifts and jumps. For 18 simulated
// seconds something breaks about every second; then all is healed, and after 10 more
// the run must have come to rest with all members active and all replicas equal.
//
// The checker is told the truth about everything, which no node knows, and the first
// invariant that breaks ends the run. It also adds up what happened, so that a quiet
// run is not mistaken for a good one.
//
// # Invariants
//
//   - A run depends on its seed alone: no map is walked in its own order where that
//     could show, nothing reads a clock. The hash of the trace proves it.
//   - An event's consequences wait until the event's actions are carried out, as they
//     do in a driver with one goroutine.
package simtest
