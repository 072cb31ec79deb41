package bpf

import "testing"

// RunPayload sends a datagram to a live program's first port and returns its reason.
func RunPayload(tb testing.TB, s *Steer, payload []byte) Reason {
	tb.Helper()
	b := &bench{Steer: s, tb: tb}
	moved := b.reasonsOf(func() { b.run(packet{payload: payload}.frame(tb), nil) })
	for reason := range moved {
		return reason
	}
	return ReasonNone
}

// LoadLive loads a program with one live queue.
func LoadLive(tb testing.TB) *Steer {
	tb.Helper()
	return load(tb, testConfig()).Steer
}
