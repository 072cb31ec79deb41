// Package ring is the consistent-hash ring: which members hold a key hash.
//
// # Life of a ring
//
// A Spec, that is an epoch, a replica count and a list of members, goes into Build;
// out comes an immutable Ring. Each member gets 256 points times its weight, evened
// out by Correct; a point's place is the MurmurHash3 of member id and point number,
// so that everyone who knows the members derives the same points and no points are
// ever sent. For each point the ring keeps its replica set: the leader and its
// followers (replicas.go has the rule). The control process encodes the spec and
// publishes the bytes on the board; the data plane decodes them, which derives the
// points again, and puts the new Ring in place of the old one by one atomic store.
// Nobody changes a Ring: a change is a new one of a higher epoch.
//
// # Life of a change
//
// A member that is to join is added as Joining: the ring's owners stay as they are,
// and Next says what they will be. Diff of the two is what must be copied. When it
// is copied, the controller publishes Next. Leaving is the same, backwards. A member
// that fails becomes Down: its first followers lead, and nothing else moves. From
// there it either comes back by way of Returning, or goes for good with the next
// change. Correct is applied by Next, that is where data move anyway, and by who
// founds a cluster.
//
// # Invariants
//
//   - Members are in the order of their ids; ids are unique and not 0.
//   - Points are in ascending order; equal places are decided by the lower id.
//   - Replica sets depend on members and key hash only, never on the order in which
//     the members were given, nor on the epoch.
//   - A member that goes down is taken out of the replica sets it is in; the order
//     of the others stays, and at most one follower is added at the end.
//   - Correct brings max/mean of the shares to 1.09 or less, counts down members as
//     if they served, and changes nothing when it is applied again.
//   - Decode accepts exactly what AppendEncode makes (checksummed), and nothing it
//     accepts makes a lookup fail.
//
// The package imports nothing of Gannet's, reads no clock and does no I/O.
package ring
