package dataplane

import (
	"fmt"
	"testing"

	"gannet/wire"
)

// TestABatchOfWritesIsForeseenWhole: full datagrams of writes, among others, more than
// one look ahead takes, are each served once and in their order.
func TestABatchOfWritesIsForeseenWhole(t *testing.T) {
	r := newRig(t, rigOptions{})
	const datagrams, each = 60, 12
	name := func(i, j int) []byte { return fmt.Appendf(nil, "key-%d-%d", i, j) }
	for i := range datagrams {
		ops := make([]wire.Op, 0, each+1)
		for j := range each {
			ops = append(ops, wire.Op{Code: wire.Put, Key: name(i, j), Value: fmt.Appendf(nil, "value %d %d", i, j)})
		}
		if i%3 == 0 {
			ops = append(ops, wire.Op{Code: wire.Get, Key: name(i, 0)})
		}
		h := r.header()
		h.RequestID = uint64(1000 + i)
		h.KeyHash = wire.KeyHash(ops[0].Key)
		datagram := wire.AppendRequest(nil, &h)
		for k := range ops {
			datagram = wire.AppendOp(datagram, 0, &ops[k])
		}
		r.inject(datagram)
	}
	r.turns()
	if answers := r.take(); len(answers) != datagrams {
		t.Fatalf("%d answers to %d datagrams", len(answers), datagrams)
	}
	for i := range datagrams {
		for j := range each {
			op := r.do(wire.Op{Code: wire.Get, Key: name(i, j)})
			if want := fmt.Sprintf("value %d %d", i, j); string(op.Value) != want {
				t.Fatalf("%s: %q, want %q", name(i, j), op.Value, want)
			}
		}
	}
	if n := r.loop.store.Stats().Puts; n != datagrams*each {
		t.Fatalf("%d puts, want %d", n, datagrams*each)
	}
}
