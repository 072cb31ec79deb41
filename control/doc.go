// Package control is the control process of a node: everything that allocates or
// waits, and therefore may not run beside the shards.
//
// # Life of a node, seen from here
//
// Run binds the admin port, starts the data plane (gannet node) or waits for the
// one that somebody else starts (gannet control), and attaches to the board that
// it makes. From then on a tick comes every 10 ms. Each tick reads the clock once
// and hands it to pure step functions: the Watchdog, which turns heartbeats into
// the verdict to kill a frozen data plane, and the Fence, which turns grants into
// the moment until which writes may be acknowledged. What they decide, thin
// runners do: a signal through a pidfd, a store to the board.
//
// Beside the tick, the membership keeps this node's record in etcd under a lease,
// agrees on the ring by compare-and-swap and publishes it on the board; the
// dead-man sockets answer for a data plane that the XDP program has given up; and
// the admin port shows all that.
//
// When the data plane exits, however it came to it, the supervisor starts it
// again, warm. SIGTERM drains it first and ends the rest afterwards, so that
// queued writes are still acknowledged under a live fence.
//
// # Invariants
//
//   - The fence is never more than 200 ms ahead of the moment at which the
//     renewal that carries it was sent.
//   - The watchdog counts only time in which this process itself ran: a machine
//     that was suspended does not cost a healthy data plane its life.
//   - A signal goes through a pidfd whose process was compared with the start
//     time on the board: never to a stranger with a reused id.
//   - A board once handed to a reader stays mapped until that reader returns it.
//   - Losing etcd stops neither reads nor, with one member, writes.
//   - This process never reads slabs.
package control
