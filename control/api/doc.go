// Package api is the control port: what nodes, clients and operators ask a node for
// beside the data path, over HTTP/1.1 on TCP, with mutual TLS where there are
// certificates.
//
//	GET  /v1/ring            the ring as package ring encodes it, or as JSON; ?after=EPOCH waits for a newer one
//	GET  /v1/invalidations   a line of JSON for each event, as long as the connection lasts;
//	                         ?of=granted: only what a client's L1 needs to hear
//	GET  /v1/hot             the hottest keys
//	POST /v1/drain           take a node out of the ring, handing its ranges over (admins)
//	POST /v1/replicate       becomes a replication stream (nodes)
//
// # Life of a request
//
// The listener counts the connection and, with TLS, has verified its peer before it
// hands it out; the role in the peer's certificate then decides what it may ask for.
// Without TLS everybody may everything: such a port belongs on loopback or a trusted
// network. Whatever is not done is answered with a problem (RFC 9457) that says what to
// do instead.
//
// A stream of invalidations lives until either side ends it. Its lines wait in the
// hub's queue of bounded length; a subscriber that does not even take a write within
// some seconds is dropped and counted. A replication stream leaves HTTP by an upgrade:
// its connection goes to the handler, and is closed with the server.
//
// # Invariants
//
//   - Every wait has a bound: headers, bodies, writes, long polls, idle connections.
//   - The numbers of connections and of subscribers are bounded.
//   - After Run has returned, no goroutine and no connection of the server is left.
package api
