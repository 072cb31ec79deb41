// Package dataplane is the shard loop: it takes datagrams from a port, asks its
// shard, and sends replies, in batches, on one CPU, without allocating.
//
// # The life of a packet
//
// A turn of the loop ([Loop.Turn]) takes a batch through these stages. Each has its
// file, in the order in which a packet meets them:
//
//	recv.go      frames are borrowed from the port, or come over from the shard
//	             whose queue they arrived on by mistake (handover.go)
//	parse.go     all of the batch are read and checked by package wire
//	guard.go     each gets a verdict: whose shard it is, whether the cookie proves
//	             the sender, whether its time budget has run out
//	lookup.go    the GETs of all datagrams become one batch for the shard, so that
//	             their cache misses overlap; their replies are built at once, while
//	             the values may be borrowed
//	plain.go     the common answer, hits and misses that fit the request's frame,
//	             takes a short road: the reply is laid over the request, what it
//	             echoes stays where it is, and its checksum is added up in registers
//	write.go     datagrams with writes, one after the other, in their order: a GET
//	             behind a PUT in a datagram sees it. The cache lines that their
//	             look-ups need are asked for some datagrams ahead. The answers are
//	             written when a datagram's writes are done, under one look at the
//	             fence
//	reply.go     replies are built in the request's own frame; what does not fit
//	             goes on in leased ones
//	inplace.go   large values leave from where they lie
//	segment.go   values longer than a datagram: a continuation sends some parts a
//	             turn, so that small GETs need not wait for it
//	pace.go      replies with a departure time wait on a wheel
//	send.go      frames go back to the port, then one Flush
//	neighbor.go  between batches: mutations and scans that the control process asks
//	             for, the ring, upkeep of the shard
//	hotkeys.go   at the beginning of a turn: what is hot is published, so that the XDP
//	             program answers it; whatever changes it withdraws it first
//	grants.go    clients may keep copies of hot items for a while; who writes one learns
//	             whether copies may be about
//	heat.go      which keys are asked for often, by a sketch of a sample
//	count.go     what happened is published on the board
//	idle.go      spin a little, then sleep
//
// # Who owns a frame
//
//	port → recv → one of: tx list (send.go), continuation (segment.go), wheel
//	(pace.go), or released. Between turns the loop holds only frames on the last
//	three, and heldFrames counts them; with the build tag invariants each turn
//	compares that with the port's census.
//
// A port can be exchanged while the loop runs (portchange.go): what is held goes back
// to the old one first, and slots stay pinned until the new one is there.
//
// # Invariants
//
//   - An unproven sender is never sent more bytes than it sent.
//   - A value that leaves as a tail or in place, and one that a continuation still sends, is
//     pinned in the shard until the port, or the continuation, is done with it.
//   - A published key is withdrawn before the reply that tells of its change leaves.
//   - No write is begun, and none acknowledged, at or after the fence.
//   - Every datagram received is answered, handed over, or dropped under a reason.
//   - Nothing allocates between New and Close.
//   - Time is passed in; nothing here reads a clock except Run and Config.Clock.
package dataplane
