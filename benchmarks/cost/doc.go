// Package cost measures what a server spends on the core it is pinned to.
//
// # Life of a measurement
//
// A Meter knows the server's process, its core and the kernel threads that poll
// the server's end of the link. Read takes a Sample of them all; Between turns two
// samples into a Cost: nanoseconds run by the pinned threads and by the polling
// ones, what the core had to give, and how much of that was used.
//
// # Invariants
//
//   - Run times are the scheduler's own sums (schedstat), exact to the nanosecond.
//     They never include time that the hypervisor took.
//   - Idle and stolen time of a core come from /proc/stat. Its idle time is
//     exact where the kernel stops the tick; its user and system columns are not
//     used, because they are sampled.
//   - A thread counts when its CPU set is exactly the server's core. Others of the
//     process (a control plane's, a runtime's helpers) are reported apart.
package cost
