// Package tuning turns a stock Linux host into one on which a shard can answer in microseconds, and back again.
//
// The life of a setting. Probe takes a snapshot of the host: processors, memory nodes, the interface, and the present
// value of everything in the table of knobs (knob.go, and one file a theme: knobs_nic.go, knobs_irq.go, …). NewLayout
// decides which processors run shards, which take interrupts and which are left to the control process. NewPlan, a pure
// function of the snapshot, compares each value with what its knob wants. Apply writes what differs: first the old value
// to the journal, synced to disk, then the new one to the host. Verify makes the plan again and calls every difference
// drift. Revert walks the journal backwards and puts each old value back.
//
// The knobs are the only place that knows what is set and why. The plan, the journal, the shell scripts beside this file
// and the reference in docs/tuning.md are all made from them.
//
// Invariants:
//   - Nothing is written that is not in the journal, on disk, before.
//   - A run of Apply that fails has put back what it changed when it returns, and says what it could not put back.
//   - Revert may be stopped anywhere and run again; what it has put back already it finds to be so and leaves alone.
//   - A knob that only advises (the kernel's command line) is never written.
//   - NewLayout and NewPlan read no files and no clock: the same snapshot gives the same plan.
//
// The code runs in the network namespace of the calling thread and starts no goroutines, so a caller that has moved its
// thread to another namespace tunes that one.
package tuning
