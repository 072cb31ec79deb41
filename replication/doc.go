// Package replication is the group logic: who may acknowledge writes, who follows
// whom, who takes over. It is pure: a [Node] and a [Controller] take events with the
// time at which they happened, and return actions. They own no socket, no clock, no
// goroutine and no item. The same code runs under sockets and under the simulator in
// simtest.
//
// # Life of a write
//
// The data plane of the key's leader writes it, gives it a version, appends it to its
// shard's log and acknowledges it while the fence stands ([SetFence]) and the range is
// not held ([SetHeld]). It marks the acknowledgement degraded when the range is in
// [SetDegraded] or the time is past [SetSync]. The driver reads the log and reports a
// piece with [Appended]; the Node answers with a [SendBatch] for each follower. The
// follower's Node checks epoch and position and asks for [Apply]; [Applied] makes it
// send an Ack, and that becomes [SetReplicated] at the leader, for those who asked to
// wait. What a follower lacks comes by a repair: Begin, Ready, then Scan and Part until
// the last, while the stream goes on; until then it answers no reads there
// ([SetLacking]).
//
// # Life of a leader
//
// Its Node renews the fence with etcd ([Renew]: a transaction that fails once the ring
// was changed), and while etcd is silent with grants of a majority of the epoch's
// voters. When it dies the others accuse it: both detectors silent, or both traces of a
// dead process. Accusations go to the Controller in Reports, and are promises: the
// accused gets no grant in this epoch. With the word of so many that the rest is no
// majority, the Controller swaps a ring in which the member is Down into etcd. Its
// followers adopt that ring, wait the fence out, and lead. When it comes back it is
// Down, says WishJoin, is made Returning, repaired from the new leaders, and when all
// members are warm the ring is swapped for the one worked towards. In such a planned
// change the old leader sends the rest of its writes and a Release, and the new one
// need not wait.
//
// # Which value goes over which wire
//
//	etcd, key ring          Record (AppendEncode; the revision is etcd's)
//	etcd, key members/ID    Registration's Member, under a lease
//	etcd, transaction       Renew → Renewed, RenewRefused; Swap → Swapped, RecordSeen
//	gossip datagrams        Beat, GrantAsk, Grant (sealed; the sender is authenticated)
//	data path               Probe: a PING to the member's data port; Heard, or Traced
//	control TCP, in order   Open Resume Start Batch Hints Ack Release Begin Ready Part
//	                        PartAck Redo RingNews
//	control TCP, any        Report, to whoever is the elected controller
//	board                   SetFence SetHeld SetDegraded SetLacking SetSync SetReplicated
//	                        Publish
//	apply queues            Apply, ApplyPart, ApplyHints, Drop
//	scan areas              Scan, StopScan
//	data directory          Remember
//
// # The driver's duties
//
//  1. Call Step from one goroutine, with a Tick every 10 ms; carry the actions out in
//     order. Remember comes before what follows it; SetFence, SetHeld, SetLacking and Publish reach
//     the board before the next Step.
//  2. Begin with DataPlane, a LogAt for each shard, and RecordSeen (what the board had,
//     not Linear; then what etcd has, Linear). Without etcd: a ring of one's own,
//     Linear, with revision 0.
//     A DataPlane that says Cold is followed by a LogAt for each shard, too.
//  3. Read each shard's log at least every 10 ms. Appended first, then LogRead with a
//     time taken before the log was seen empty. Report mutations only (puts, deletes,
//     touches) as Appended: a position is a version. Evictions and references are
//     Hinted. The record at Upto ends its piece, and SendBatch's payload is the
//     pieces after After up to Upto.
//  4. Adopt a published ring in the data plane with its epoch in every new version
//     before Drained is reported; report it after the log of before was read.
//  5. Tombstones live at least TombstoneNanos, or the data plane counts as restarted
//     (DataPlane with a new SinceNanos). A Scan begins with them.
//  6. A piece of a scan covers a stretch in an order that both data planes share, and
//     says which: that is what ApplyPart replaces.
//  7. Take Apply, ApplyPart and Drop in order. Applied or PartApplied answers each of
//     the first two once, unless a DataPlane that is up again comes in between.
//
// # Invariants
//
//   - No two nodes acknowledge writes of a range at once, nor one under an epoch older
//     than one under which the range was acknowledged.
//   - The fence counts from when its renewal was sent, by a clock that never waits;
//     what must have lasted (silence, grants, the wait for another's fence) counts in
//     time in which this process ran. A jump of the clock errs on the safe side of both.
//   - An epoch begins only when the one before the last is closed: so many of its
//     voters know a later one that the others cannot grant anything.
//   - An acknowledgement that is not marked degraded means that every write of its
//     range older than LagNanos is with a follower.
//   - A range whose items were not followed or led without a break is dropped before
//     it is served or repaired.
//   - A follower answers no read of a range that it has not whole.
//   - A part of a repair is applied within half a tombstone's life of its reading.
package replication
