// Package control is the control process of a node: everything that allocates or
// waits, and therefore may not run beside the shards.
//
// # Life of a node, seen from here
//
// New binds the ports: admin, control, gossip. Run starts the data plane (gannet
// node) or waits for the one that somebody else starts (gannet control), and
// attaches to the board that it makes. From then on a tick comes every 10 ms. Each
// tick reads the clock once and hands it to pure step functions, such as the
// Watchdog, which turns heartbeats into the verdict to kill a frozen data plane.
// What they decide, thin runners do: a signal through a pidfd, a store to the board.
//
// # Life of a member
//
// Beside the tick runs this node's part in its cluster (cluster.go). The membership
// keeps the node's record in etcd under a lease, and stands for election; a watch
// follows what stands there, and reads everything anew whenever it begins. Both tell
// the group logic of package replication, whose driver (replication/transport) owns
// fence, ring and queues on the board, and the controller (chair.go), which acts on
// the node that etcd elected, or on its deputy while that one is silent. Rings reach
// the board, the control port and a file by the driver's Publish; what the node has
// promised is kept in another file, so that a restart of this process breaks no
// promise. Gossip carries signs of life, grants and invalidations; the control port
// (control/api) carries replication, and shows ring and invalidations to clients.
// Without etcd the node is a ring of its own, and all of that runs idle.
//
// The dead-man sockets answer for a data plane that the XDP program has given up; the
// admin port shows all that.
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
//   - Nothing that etcd may delay runs on the driver's goroutine or the tick's.
//   - Losing etcd stops neither reads nor, while a majority of the ring's members
//     hears each other, writes.
//   - This process never reads slabs.
package control
