// Package gossip spreads small messages between the nodes of a cluster, and who is
// there.
//
// # Life of a message
//
// Send puts a payload of at most MaxPayload bytes into an envelope (kind, origin) and
// that into one encrypted datagram to one member: best effort, for grants and the
// like. Broadcast is for everyone. While the cluster is small, it is one datagram to
// each member at once. In a larger one it joins a queue of its kind, from which each
// round of gossip takes what fits into a datagram for a few random members, until the
// message was sent a number of times that grows with the logarithm of the cluster;
// whoever hears it first passes it on in the same way. A queue that is full drops its
// oldest message, and counts it: messages may be lost, and what rests on them must
// notice by itself.
//
// A received payload goes to the handler of its kind. The handler says whether it was
// news; only news is passed on.
//
// # Life of a membership
//
// A node comes by joining any member it knows of: seeds, and the members of the ring.
// It goes by leaving, or by not answering, which takes the others some seconds to agree
// upon: this is no failure detector to promote by. Members that are gone are forgotten,
// so a cluster that was split for long would stay split; therefore each node keeps
// trying those on its list that it does not see.
//
// # Invariants
//
//   - With a key file nothing leaves or enters unencrypted. The first key encrypts,
//     each key decrypts.
//   - Handlers run one at a time per node and must not wait; a payload is theirs only
//     until they return.
//   - The number of queued messages is bounded.
package gossip
