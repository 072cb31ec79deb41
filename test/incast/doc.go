// Incast measures what keeps the replies of many nodes from overrunning the last
// link before a client, and writes the figures as rows.
//
//	go run ./test/incast -out out/incast.json [-only id] [-plot docs/incast.svg]
//
// The lab is four network namespaces:
//
//	servers                switch                                  client
//	10.78.0.1 ─┐           ┌────── bridge ──┐ 100 Mb/s ┌ bridge ──── 10.78.0.101
//	   …       ├── veth ───┤                ├── veth ──┤            neighbour
//	10.78.0.16 ┘           └────────────────┘  128 KB  └─────────── 10.78.0.102
//
// The bottleneck is a token bucket on the switch's port towards both clients, which
// counts Ethernet's framing as a card would, with a queue of 128 KB. Each server is a
// whole data plane loop with its own board, cache and socket, on a thread of its own,
// and with the part of the control process that caps clients; the sixteen share one
// process, because sixteen pairs of processes would measure the scheduler. Client and
// neighbour are a process each, and use package client like any program.
//
// What was lost is what the token bucket dropped. Loss, bytes and rates are read
// from its counters, not from anybody's own account.
package main
