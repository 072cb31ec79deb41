// Command client measures what the client and the gateway promise, against real
// nodes in network namespaces, and writes out/client.json: that one reader of many
// fills a key, that nothing overtaken is stored, what hot keys, slow nodes, lost
// packets and full switches cost, that HTTP and another language see the same cache.
// It exits 0 when everything was measured, also where a figure falls short of its
// goal; a row that could not be measured, even the third time, makes it fail.
//
// # Life of a row
//
// A group sets up what its rows share: one node behind a veth pair (withNode), or a
// cluster (test/cluster/bed). Readers that must be processes of their own are this
// program again, with -inside and a job (team.go). Where the outcome is a race by
// nature, a script decides it: the job reports what it sees, line by line, and goes on
// when it is told to. A script that did not come about as written makes the group
// void; it is then measured again, twice at most.
package main
