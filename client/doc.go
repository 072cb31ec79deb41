// Package client talks to a Gannet cache.
//
// Gannet is a look-aside cache: ask it first, and on [ErrMiss] load the value
// from where it really lives and [Client.Put] it. Losing an item is normal; a
// wrong item never is, so every value is checked against its CRC before it is
// handed out.
//
// # Life of a request
//
// A call hashes its key, which gives the shard, and takes a *call* from a pool.
// The shard's sockets are a few source ports to the shard's own UDP port; the
// call picks the one whose packets land on the shard's receive queue, once
// replies have taught which that is. The request is written into a buffer of
// the call and sent; the call waits in the socket's pending table under its
// request id.
//
// One goroutine a socket reads replies. It finds the call by id, copies values
// into the caller's memory while it holds the call's lock, and wakes the caller
// when all operations have their answer. A reply whose call has gone is counted
// and dropped: that is what late duplicates look like.
//
// The caller's own goroutine does everything else: it sends, waits for the
// answer or the retransmission timeout, sends again what is still missing, and
// gives up at the deadline. A call therefore never outlives its context, and no
// work is left behind when it returns.
//
// # Invariants
//
//   - A reply touches a call's memory only under the call's lock and only while
//     the call is in a pending table; a call leaves the table before it returns.
//   - A write that is sent again carries the same session and request id, so
//     that the server can answer it again instead of doing it again.
//   - A value is put together from parts of one version only.
//   - Each socket has a cookie of its own, brought by the answer to its first
//     datagram; a demand for a new one is met at once, without the caller's notice.
//   - An index in a reply is an index into the datagram it answers: a call of
//     several operations takes a new request id whenever it asks again.
package client
