// Package loadgen drives load: it replays traces through a client against a
// running node, or straight into one shard, and it measures nodes under
// overload, restart and freezing.
//
// # Life of a replayed request
//
// One goroutine reads the trace and deals its requests to the workers by a hash
// of the key, so that all requests for one key stay in order; with one
// connection the whole trace does. A worker plays look-aside: it GETs the key,
// and on a miss PUTs the value that the trace's key and size determine, with the
// trace's TTL. Every hit is compared, byte for byte, with the value that its key
// and length determine: a value cut short, mixed up or of another key counts as
// corrupt.
//
// Operations that a trace says are writes are carried out as what they are, and
// never count as requests: put, append and prepend store a value of the trace's
// size; add, replace and cas do so under their condition (cas as replace, for
// a trace has no versions); delete deletes; incr and decr store; touch sets the
// TTL.
//
// # Invariants
//
//   - requests = hits + misses + errors; PUTs are not counted.
//   - One worker has at most one request in flight.
//   - The same trace, seed and one connection give the same requests in the same
//     order, against a node and in process alike.
package loadgen
