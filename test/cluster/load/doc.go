// Package load asks a cluster at a fixed rate and judges what it answered.
//
// # Life of an operation
//
// [Start] reads every key once, to know what stands there. From then on a pacer begins
// each operation when it is due, whatever became of those before it. Keys are chosen
// alike; a key has one write at a time, so that its writes have an order. Each value
// carries its key and the number of its write. What came of an operation goes into a
// record of some tens of bytes. [Load.Stop] waits for all, reads every key a last time,
// and hands the records to a [History], which is pure: it only looks at records.
//
// # What a read may return
//
// Let A be the last write of the key that was acknowledged before the read was due. The
// read may return A's state, or that of a later write that had begun when the read
// ended. Anything else is *behind*. The last read that ended before the key's next
// acknowledged write began, and not in the moment after A in which a follower may lag,
// shows what became of A: if it is behind, A is *lost*. A lost delete is a resurrection.
package load
