// Package openloop offers load at a fixed rate, whatever the node makes of it.
//
// A closed loop, where each worker waits for its answer, slows down with the
// node and so never overloads it. Here every request has its moment on a
// schedule, drawn up before the run; latency counts from that moment, so that a
// late sender cannot hide the node's delay.
//
// # Life of a request
//
// One thread a socket looks at the clock, builds the datagrams that are due by
// patching templates, and sends them with one sendmmsg; it notes their scheduled
// times in a ring, indexed by sequence number, which is also the request id. Then
// it takes what replies there are with one recvmmsg, finds each one's scheduled
// time in the ring, and files it: good (a hit within its budget), late, shed (the
// node said that it would not), missed, or failed. What has no reply at the end
// is lost. Each request ends in exactly one of these.
package openloop
