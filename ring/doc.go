// Package ring is the consistent-hash ring: which member owns a key hash.
//
// # Life of a ring
//
// A list of members and an epoch go into New; out comes an immutable Ring. Each
// member gets 256 points times its weight; a point's place is the MurmurHash3 of
// member id and point number, so that everyone who knows the members derives the
// same points and no points are ever sent. The control process encodes the ring's
// members and publishes the bytes on the board; the data plane decodes them, which
// derives the points again, and puts the new Ring in place of the old one by one
// atomic store. Nobody changes a Ring: a change is a new one of a higher epoch.
//
// # Invariants
//
//   - Members are in the order of their ids; ids are unique and not 0.
//   - Points are in ascending order; equal places are decided by the lower id.
//   - Owner depends on members and key hash only, never on the order in which the
//     members were given, nor on the epoch.
//   - Decode accepts exactly what AppendEncode makes (checksummed), and nothing it
//     accepts makes Owner fail.
//
// The package imports nothing of Gannet's, reads no clock and does no I/O.
package ring
