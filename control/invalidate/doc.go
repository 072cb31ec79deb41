// Package invalidate tells whoever keeps copies of items outside the nodes, in an L1
// of a client, which copies are old.
//
// # Life of an event
//
// A write becomes an event on the node that led it: the reader of the mutation log
// hands it to the Hub with Announce, which leaves out writes of which no copy can be
// about: no reply has granted one of late. The event gets the next number of its origin, goes to each subscriber of
// this node at once, and, in a batch with its neighbours, to the other nodes. Their
// hubs give it to their subscribers and let it be passed on, once.
//
// Other caches than package client's keep what they like, and want to hear of all
// writes; so does who watches. While there is such a subscriber somewhere, his node's
// batches say so, and all nodes tell of all their writes. They say so in turn, which
// is a flush: what was filled before may have been overtaken unheard.
//
// # Life of a gap
//
// Batches get lost, come twice and overtake each other. An origin numbers its events
// without a gap and says its last number again when it has been idle for a heartbeat.
// A hub keeps for each origin how far it has heard everything, and what it has heard
// beyond. When something is still missing after a grace time, it tells its subscribers
// to flush: to drop all they hold of that origin. It does the same when an origin is
// heard for the first time, when one has started anew, and when one falls silent. The
// copies of a silent origin are not covered: whoever kept some would not hear when they
// get old, so none may be kept until the origin is heard again, which is another flush.
//
// A subscriber that cannot follow loses its queue, and begins anew: it is told to drop
// everything, and which origins are covered. A new subscription begins with that, too:
// so a client that lost its connection needs no rule of its own.
//
// # What a subscriber must do
//
// Keep copies only of origins that are covered. Not keep a reply whose request was
// sent before a flush of its origin, or whose version is below one that was
// invalidated meanwhile. Drop everything when no notice, not even a heartbeat, came for
// several times the heartbeat.
//
// # The promise
//
// A subscriber that does so hears of each event of an origin, or is told to flush that
// origin, within HeartbeatNanos + GraceNanos + the time a message takes, while the
// origin is heard; and within SilentNanos of its last word, when it is not.
//
// # Invariants
//
//   - An event is delivered once or more, never taken back; a flush covers all events
//     of its origin before it.
//   - Sequence numbers of an origin's incarnation start at 1 and have no gap at the
//     origin.
//   - All memory is bounded: origins, out-of-order batches, each subscriber's queue.
//   - Time is passed in; the tracker is a pure step function.
package invalidate
