// Command loopbench measures the shard loop without a kernel: the rows loop, sg,
// mixed and cores of the benchmark suite. With -only put it measures what a PUT costs
// under the load of the suite's row put16.
//
// # The life of a request
//
// A client (client.go) writes a request into a frame of the port in memory
// (memport.go), as a card would; the loop's turn receives it, finds the value and
// leaves the reply in the frame, or a tail beside it; the client looks at the reply
// and frees the frame. What is timed is the turn alone: everything that the server
// does for a batch, port included, and nothing of the client.
//
// # What may be believed
//
//   - Every reply is parsed by length and status, and one in 64 is parsed whole,
//     its value compared byte for byte: a fast miss cannot pass for a hit.
//   - The key set and its values are many times the last-level cache, the keys are
//     drawn uniformly, and no request is sent twice in a row.
//   - A row is the median of interleaved rounds. Rounds in which the machine took
//     over a tenth of the time for somebody else are measured again.
package main
