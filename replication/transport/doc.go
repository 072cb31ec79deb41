// Package transport puts the group logic of package replication under sockets, and
// between the board and the other nodes.
//
// # Life of a mutation
//
// A shard appends it to its log on the board. The log reader of that shard takes it
// into a piece (log.go), tells the Node, and keeps it in a window until the Node lets
// go of it. For each follower the Node orders a batch: the pieces of the window, as
// far as they concern the follower's ranges, go as one frame over the link to that
// node (link.go, mesh.go). There its Node orders the batch applied: each mutation is
// pushed into the apply queue of the shard that has its key there (apply.go), and once
// the shards have consumed them, the acknowledgement goes back the same way.
//
// What a follower lacks is read by scans of the leader's shards (scan.go), one repair
// after the other, and travels as parts.
//
// # Who runs what
//
// One goroutine, Driver.Run, owns the Node, the windows, the scans and the queues of
// the board. Links have a reader and a writer goroutine each, which only move frames.
// Everything from outside comes as an event into the driver's inbox.
//
// # Invariants
//
//   - The Node's actions are carried out in order, before the next event.
//   - The board is touched inside Config.Board only: its mapping may be another one
//     the next time. Ends of queues are opened anew for each mapping.
//   - A frame of an earlier connection to a node is never delivered after LinkUp.
//   - Nothing waits for a slow neighbour: a full apply queue delays only what comes
//     from other nodes, a full link is cut.
package transport
