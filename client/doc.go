// Package client talks to a Gannet cache.
//
// Gannet is a look-aside cache: ask it first, and on [ErrMiss] load the value
// from where it really lives and [Client.Put] it. Losing an item is normal; a
// wrong item never is, so every value is checked against its CRC before it is
// handed out.
//
// Most services need one call. [Client.GetOrLoad] reads, and has the value loaded
// when it is missing: by one reader among all clients, while the others wait for it
// or, past a soft TTL, go on with what there is. Change the source first, then
// [Client.Delete] the key: a load that was overtaken is not stored.
//
// Errors are told apart with [errors.Is]; each says what to do. No call outlives its
// context or the client's timeout, and after [Client.Close] no goroutine is left.
//
// # Life of a request
//
// A call hashes its key. The ring says which nodes hold it: its leader, which takes
// its writes, and followers, which may answer reads, too. The client got the ring
// from the first node that it talked to, and gets newer ones from whoever names a
// newer epoch in a reply, or answers MOVED; the guide is the goroutine that does so.
// A read goes to the leader, unless its breaker is open or it is so much busier than
// the others that it is their turn.
//
// The call takes a *call* from a pool. The sockets to a shard are a few source ports
// to the shard's own UDP port; the call picks one whose packets land on the shard's
// receive queue, once replies have taught which that is. The request is written into
// a buffer of the call and sent; the call waits in the node's pending table under its
// request id.
//
// One goroutine a socket reads replies. It finds the call by id, copies values
// into the caller's memory while it holds the call's lock, and wakes the caller
// when all operations have their answer. A reply whose call has gone is counted
// and dropped: that is what late duplicates look like.
//
// The caller's own goroutine does everything else: it sends, waits for the
// answer or the retransmission timeout, sends again what is still missing, and
// gives up at the deadline. A read that is late asks another replica as well, once,
// if the retry budget allows it. A call that the ring takes from under its target
// starts anew at the next one.
//
// # Life of a load
//
// GetOrLoad first reads like any other call. When that misses, the callers of one
// process meet in a flight, which asks the key's leader for its lease. The one client
// that gets it runs its load function and puts the value with the lease; the others
// ask again after the time they are told. A stale item is returned at once, and the
// flight is one in the background.
//
// # Life of a copy
//
// With [WithL1] the client keeps copies of the hottest items for moments: of keys that
// its sketch counts often, that the leader grants, and whose leader's writes it hears
// of. An invalidation, a write of its own, a gap in what it hears, a newer ring or the
// grant's end each put an end to a copy.
//
// # Invariants
//
//   - A reply touches a call's memory only under the call's lock and only while
//     the call is in a pending table; a call leaves the tables before it returns.
//   - A write that is sent again carries the same session and request id, so
//     that the server can answer it again instead of doing it again.
//   - A value is put together from parts of one version only.
//   - Each socket has a cookie of its own, brought by the answer to its first
//     datagram; a demand for a new one is met at once, without the caller's notice.
//   - An index in a reply is an index into the datagram it answers: a call of
//     several operations takes a new request id whenever it asks again.
//   - A reply of an older epoch than the client's ring is not believed.
//   - Calls that ask a second node are at most the retry share of all, but for what a
//     quiet time has saved up.
//   - A process runs at most one load for a key at a time, and none without a lease
//     but when the cache cannot be asked; such a value is not put.
//   - A copy in L1 was asked for while its key's leader was covered by a stream of
//     invalidations, which has not been interrupted since; and no event newer than
//     the copy has been heard.
package client
