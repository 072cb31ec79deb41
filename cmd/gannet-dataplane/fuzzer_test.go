package main

import (
	"testing"

	"gannet/board"
	"gannet/loadgen/wirefuzz"
	"gannet/wire"
)

// TestSurvivesTheFuzzer sends broken datagrams to a real process and compares what
// it counted with what was sent.
func TestSurvivesTheFuzzer(t *testing.T) {
	p := start(t, dataDir(t), freePort(t), "--shards=1")
	got, err := wirefuzz.Run(t.Context(), p.addr, 50_000, 1)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Alive || !got.SentinelIntact || got.BootChanged || got.Restarts != 0 || !got.Quiet() {
		t.Errorf("after the fuzzer: %+v", got)
	}
	p.terminate() // publishes the last counts
	for reason := wire.ReasonNone + 1; reason < wire.ReasonCount; reason++ {
		counted := p.board.Counters(0).GetIn(board.GroupWire, int(reason))
		if counted > uint64(got.Reasons[reason]) {
			t.Errorf("%v: counted %d of %d sent", reason, counted, got.Reasons[reason])
		}
		if got.Reasons[reason] > 0 && counted == 0 {
			t.Errorf("%v: sent %d, none counted", reason, got.Reasons[reason])
		}
	}
}
