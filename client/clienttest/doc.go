// Package clienttest is a small Gannet node for tests of clients: it keeps items
// in a map, speaks the real wire format over real loopback sockets, and does
// wrong on demand. It drops, repeats, reorders, damages and delays datagrams,
// demands cookies, and answers with any status.
//
// A test makes a [Server], tells it what to do wrong ([Server.SetFaults],
// [Server.Answer]), and points a client at [Server.Addr].
package clienttest
