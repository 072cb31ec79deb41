// Package mtls proves who is at the other end of a TCP connection: mutual TLS 1.3
// between nodes, clients and operators.
//
// # Life of a connection
//
// A Store reads certificate, key, authorities and revocation list from files and
// looks at them again every second. Whatever fits together is published as one
// value; a handshake takes the whole of it, so it never mixes old and new, and a
// half-written exchange leaves the former files in use.
//
// A Listener of the store shakes hands before it hands a connection out: the chain
// must lead to one of the authorities, be in its time and not revoked, and the leaf
// must name an identity whose role is wanted here. The dialling side checks the same
// of the server, and its name. Then the connection is put on the store's list. Every
// second, and at once after the files changed, each peer on the list is verified
// again, and whoever would not be let in any more is cut off: a revoked or expired
// peer is out within two seconds of the file, or the clock, saying so.
//
// An identity is a URI in the certificate, gannet://node/cache-1: role and name. A
// certificate without one may carry the role as its organizational unit
// (gannet-node) and the name as its common name.
//
// # Invariants
//
//   - TLS 1.3 only. No session tickets: every connection shows its certificate.
//   - A connection that was handed out is on the list until it is closed.
//   - Files that cannot be used never replace files that can.
//   - A check without anything to compare a server with fails: forgetting to say who
//     is expected does not mean that anybody will do.
//   - Verification takes the time as an argument.
package mtls
