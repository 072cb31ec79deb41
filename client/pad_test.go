package client_test

import (
	"sync/atomic"
	"testing"

	"gannet/client"
	"gannet/client/clienttest"
	"gannet/wire"
)

// TestHotKeysArePadded to the length of their replies, and others are not.
func TestHotKeysArePadded(t *testing.T) {
	s, c := pair(t, clienttest.Config{})
	s.Set("hot-key-of-16-by", make([]byte, 100))
	s.Set("cold", make([]byte, 100))
	var padded atomic.Uint64
	s.SetFaults(clienttest.Faults{Request: func(r *wire.Request) bool {
		ops := r.Ops()
		var op wire.Op
		if ops.Next(&op) && op.Code == wire.Get && len(op.Value) > 0 {
			padded.Add(1)
			if string(op.Key) != "hot-key-of-16-by" || len(op.Value) != 80 {
				t.Errorf("%q padded by %d bytes", op.Key, len(op.Value))
			}
		}
		return true
	}})
	for range 300 {
		if item := must[client.Item](t)(c.Get(ctx, "hot-key-of-16-by")); len(item.Value) != 100 {
			t.Fatal(len(item.Value))
		}
	}
	must[client.Item](t)(c.Get(ctx, "cold"))
	if n := padded.Load(); n == 0 || n != c.Counters().Padded {
		t.Errorf("%d padded requests came, %d are counted", n, c.Counters().Padded)
	}
	_, plain := pair(t, clienttest.Config{}, client.WithoutPadding())
	for range 300 {
		_ = second(plain.Get(ctx, "hot"))
	}
	if plain.Counters().Padded != 0 {
		t.Error("padded without leave")
	}
}

// TestPaddingEndsWhereItsRepliesAreLost: a padded request is sent again without
// padding, and after two in a row there are no more.
func TestPaddingEndsWhereItsRepliesAreLost(t *testing.T) {
	s, c := pair(t, clienttest.Config{})
	s.Set("hot", make([]byte, 500))
	s.SetFaults(clienttest.Faults{Request: func(r *wire.Request) bool {
		ops := r.Ops()
		var op wire.Op
		return !ops.Next(&op) || op.Code != wire.Get || len(op.Value) == 0
	}})
	for range 500 {
		must[client.Item](t)(c.Get(ctx, "hot"))
	}
	if n := c.Counters().Padded; n != 2 {
		t.Errorf("%d padded requests, want 2", n)
	}
}

// TestReadsForL1PassTheKernel: a GET whose answer may be kept is padded as the kernel
// does not take it, however short its value is.
func TestReadsForL1PassTheKernel(t *testing.T) {
	servers, _, c := nearby(t, 1)
	servers[0].Set("hot", []byte("short"))
	servers[0].Grant("hot", 5000)
	var plain, past atomic.Uint64
	servers[0].SetFaults(clienttest.Faults{Request: func(r *wire.Request) bool {
		ops := r.Ops()
		var op wire.Op
		if !ops.Next(&op) || op.Code != wire.Get {
			return true
		}
		if len(op.Value)%wire.AlignBytes != 0 {
			past.Add(1)
		} else {
			plain.Add(1)
		}
		return true
	}})
	warm(t, c, "hot")
	if past.Load() == 0 || plain.Load() == 0 { // a fill may be sent twice
		t.Errorf("%d reads were for L1 and passed the kernel, %d others", past.Load(), plain.Load())
	}
	if c.Counters().Padded != 0 {
		t.Error("they count as padded for the kernel")
	}
}
