// Command hotkeys checks and measures the answering of hot keys in the XDP
// program (docs/hotkeys.md), and writes out/hotkeys.json.
//
//	hot_torn, hot_stale   reads under constant rewriting: first through
//	                      BPF_PROG_TEST_RUN (testrun.go), then on a wire (wirechurn.go)
//	hot_share             share of the GETs that the kernel answered, Zipf 1.2 (share.go)
//	hot_core              the server's core time a GET with the stage ÷ without
//
// The wire is a veth pair between two namespaces (package lab). The node is put
// together from the data plane's own parts, in this process (node.go): so the
// stage can be left out, and passes can follow one another faster than a user's.
//
// A read counts as stale when it was sent after a write had been acknowledged
// and shows an older version. A value tells the version it was written with in
// every one of its words (value.go): a torn one is found whatever its length.
//
// FULL=1 reads 10^8 times through BPF_PROG_TEST_RUN and 10^7 times on the wire.
package main
