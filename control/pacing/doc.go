// Package pacing keeps clients from flooding the network in front of them.
//
// A client that asks many nodes at once grants each a rate by the speed of its link.
// One that takes its link for faster than it is, or grants nothing at all, loses what
// the last switch has no room for, and asks for it again. No node sees the loss, but
// each sees what it is asked for again: the data plane notes on the board, by
// session, the bytes of values sent and those of them that were asked for again.
//
// The life of a cap: [Policy.Step] looks at these sums a few times a second. Where
// more than one byte in fifty was asked for again since the last look, the session
// gets a cap below the rate it was served at, multiplied by what arrived; each
// interval without loss adds a fixed amount; when the cap has reached the granted
// rate it is lifted. The data plane reads caps from the board and never sends faster.
//
// Every node does so for its own replies and knows nothing of the others. All see
// the same share of loss, so that all come down together, to a rate each that the
// link takes from all of them.
//
// # Invariants
//
//   - A cap never falls below LeastKbit: a client is slowed, never cut off.
//   - One decision needs LeastBytes sent or a second: a single lost datagram among
//     few is no rate.
//   - Step is pure: time and sums are passed in.
package pacing
