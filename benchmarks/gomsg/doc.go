// Package gomsg is the plain Go rival: a cache as one would write it first, on
// kernel sockets with recvmmsg and sendmmsg and Go's own map. It speaks Gannet's
// wire format, so that generator, requests and checks are the very same.
//
// # Life of a request
//
// One goroutine receives up to 64 datagrams with one call, parses each with
// package wire, looks its keys up in a map, lays the replies down in the sending
// buffers, and sends them all with one call. It blocks when there is nothing.
//
// It does what a fair rival needs (PING, HELLO, GET, PUT) and answers
// UNSUPPORTED to the rest. Nothing expires and nothing is evicted.
package gomsg
