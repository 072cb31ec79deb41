// Package bench offers load to a cache, Gannet or another, and measures what became
// of it: throughput, loss, latencies, and its own share of the work.
//
// # Two loops
//
// The open loop, the usual one, has a schedule: each request has its moment, drawn up
// without regard to the server, and its latency counts from that moment. A sender
// that is late, because the server made it wait or because it was busy, cannot hide
// that: there is no coordinated omission. The closed loop keeps a fixed number of
// requests on their way; it finds what a server can do, and its latencies say little.
//
// # Life of a request
//
//	due        the schedule says so, or a place is free         schedule.go
//	keys       are drawn by popularity, and sorted by shard      keys.go
//	slot       notes the request in its lane's ring              pending.go
//	encoded    into a buffer of the transport                    gannet.go memcached.go …
//	sent       with its batch                                    udp.go xdp.go tcp.go
//	decoded    each value compared with what its key determines
//	counted    once all its operations have been answered        worker.go
//	           or as lost, once its time is over or its slot is needed
//
// A lane is a flow: a source port, or a TCP connection. One thread owns its lanes,
// its socket and its counters; threads share nothing.
//
// # Whom is measured
//
// A generator that is slower than the server measures itself. So each thread counts
// the time in which it had something to do, and a run in which one was busy for more
// than 90 % of the time that the hypervisor gave it is void, and says so.
//
// # Invariants
//
//   - every request of the measured window ends in exactly one of answered and lost;
//   - the steady state allocates nothing;
//   - the same options and seed draw the same keys in the same order.
package bench
