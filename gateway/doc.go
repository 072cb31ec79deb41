// Package gateway serves a cache over HTTP, for what speaks no Gannet: shell
// scripts, legacy services, languages without a client.
//
// # Life of a request
//
// A request for /v1/key/{key} is admitted if fewer than the allowed number are in
// flight, and otherwise told to come back. The key is what follows the prefix,
// percent-decoded: any bytes, slashes too. Headers are read before the body, so
// that a request that cannot succeed is refused before its value was sent. A body
// is read whole, up to the node's limit and never beyond, and only a whole body is
// stored. The cache is asked through the client package; what it says becomes a
// status, headers, and a value or a problem document (RFC 9457).
//
// An item's version is its ETag, so conditional requests map to what the protocol
// does atomically: If-Match to compare-and-swap, If-Match: * to replace,
// If-None-Match: * to add. What cannot be done atomically is refused, not imitated.
//
// # Invariants
//
//   - Memory is bounded: bodies by the node's limit, multi-gets by a budget of
//     bytes, both times the number of requests in flight.
//   - A precondition is evaluated or the request is refused; none is ignored.
//   - A request that was refused has a problem code, and the code has a counter.
//   - Neither keys nor node addresses appear in problems or metrics.
//   - A TLS handshake uses one consistent set of certificate, key and client CA:
//     files that do not fit together leave the former set in place.
package gateway
