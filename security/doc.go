// Package security proves who sent a datagram.
//
// Cookies are the first proof: a client's first datagram is answered with a cookie, and nobody who cannot read what is sent to the
// address he claims can repeat it. A cookie is a keyed hash of address, port and the number of the running time period, so the
// server stores nothing. Its life: made in a period, good until the end of the next one, then refused; the refusal carries a fresh
// one.
//
// Connections are package mtls's: it stands apart so that the privileged data plane, which checks cookies, links no TLS.
//
// Invariants: a cookie is never 0; it is good for at least one whole period and at most two; making and checking allocate nothing
// and may be done by any number of goroutines at once.
package security
