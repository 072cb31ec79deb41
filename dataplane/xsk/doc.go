// Package xsk is the upper rungs of the ladder: AF_XDP sockets, one for each
// hardware queue, each with memory (a UMEM) of its own.
//
// It has two floors. [Socket] is the raw one: frames, four queues, wake-ups; the
// load generator uses it as it is. [Port] stands on it and speaks UDP: it is the
// [port.Port] of a shard. [OpenLadder] opens a Port for each queue of an interface
// on the best rung that works.
//
// # A packet's life
//
//	fill        Port.Flush gives free frames to the kernel, as few     fill.go
//	            as are enough: the cache shall hold them               supply.go
//	            the steering program (package bpf) redirects the packet, with 16
//	            bytes of metadata in front of it; the kernel or the card writes both
//	rx          the descriptor appears in the rx queue                 rx.go
//	Recv        headers are parsed again, here, and found to be what the
//	            program said; else the packet is dropped with a reason headers.go
//	held        the shard writes its reply over the request
//	Send        addresses are swapped, lengths and checksums written,
//	            the descriptor is put into the tx queue                reply.go tx.go
//	Flush       publishes it and wakes the driver when that asks for it
//	completion  the kernel returns it when it has been sent            completion.go
//	free
//
// # Who writes what
//
// Each queue is shared with the kernel: one side produces, the other consumes. For
// fill and tx we are the producer; for rx and completion the consumer. Of the two
// shared indices of a queue we only ever write our own, with an atomic store after
// the entries it covers; our copies of both are plain fields, read and written by
// the owner of the socket alone.
//
// # Ownership of a frame
//
//	free, held, bounced           the port
//	fill, tx                      the kernel, from the store of the index on
//	rx, completion                the kernel, until we have stored ours
//
// # Tails
//
// A reply may end in a tail outside of its frame. Usually Send copies it behind the
// frame's part: in copy mode the kernel copies anyway, and two descriptors cost more
// than that memcpy. When the UMEM covers the slabs as well ([Slabs]), a tail becomes
// descriptors of its own (XDP_USE_SG) and is read where it lies. All completions of
// a packet's descriptors come one after another, frame first, so the token is due
// when the last one has come.
//
// # In place
//
// With slabs on 2 MiB pages, a tail with room in front of it leaves as one descriptor
// together with its headers, which are moved into that room (inplace.go). The frame
// then stands for the slot: it stays in tx, and is free when the slot has come back.
//
// # Longer than a frame
//
// With multi-buffer receive a packet may come as a chain of frames. Its pieces are
// copied into one bounce buffer, headers included, so that Payload is contiguous as
// always; the chain's other frames are free at once. That copies jumbo requests
// once, and spares every reader of a payload the case of a request in pieces.
//
// # Invariants
//
//   - every frame is in exactly one place; a descriptor that names a frame which is
//     not where it should be is counted (kernel_invalid) and ignored;
//   - a packet in place lies in one 2 MiB page; a completion is believed only if the
//     frame that its ticket names stands for its address;
//   - frames in flight to the network never exceed the completion queue, so that
//     the kernel always finds room there;
//   - nothing needs a privilege once the sockets are open.
package xsk
