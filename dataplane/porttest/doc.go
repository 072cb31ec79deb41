// Package porttest is a port in memory, for tests and benchmarks of whatever sits
// above [port.Port], and the conformance tests that every port must pass.
//
// One frame's life in [Memory]:
//
//	fill        lent to the "wire"; Inject copies a datagram into it
//	rx          waits for Recv
//	held        with the owner of the port
//	tx          sent, not transmitted: before Flush, or while the port is stalled
//	completion  transmitted, not reclaimed: late completions stay here longer
//	free        reclaimed; Flush moves it to fill, Lease and Import to held
//
// Two goroutines meet here. The port's owner calls the methods of [port.Port].
// The other one plays network: Inject, Take, Stall, Reset. What both touch is
// guarded by one mutex, which the owner takes once a Recv or Flush that has work.
//
// Invariants, checked when [Options.Strict] is set (a violation panics: the fault
// is the caller's, and the place of the call names it):
//
//   - a frame that is sent, released or read as Raw is held;
//   - a sent frame and its tail, with its headers when it left in place, do not
//     change before their completion;
//   - what a returned frame held is gone: it is poisoned with 0xDB.
package porttest
