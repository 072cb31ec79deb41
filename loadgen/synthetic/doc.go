// Package synthetic makes streams of requests from published statistics or from a
// plain Zipf law, for where no recorded trace has operations, sizes and TTLs.
//
// The life of a request: a rank is drawn from a Zipf law over the keys; the rank
// alone decides the key, its TTL class and its value size, so that a key keeps its
// nature for the whole stream; the operation is drawn from the mix.
//
// What it is not: a recording. Keys are drawn independently, so there is no
// locality in time beyond popularity, keys do not age, and as only the means of
// the sizes were published, all keys and all values of a cluster have the mean
// size. Describe says that the stream is synthetic; print it beside every figure.
//
// Invariants: the same specification and seed give the same stream, on every
// machine; Next allocates nothing and never ends.
package synthetic
