package client_test

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gannet/client"
	"gannet/client/clienttest"
	"gannet/wire"
)

// TestLongValuesUnderLoss: values of any size, over paths that lose, repeat,
// reorder and damage, come and go whole, and those replaced in the middle of a
// read are never mixed.
func TestLongValuesUnderLoss(t *testing.T) {
	s, c := pair(t, clienttest.Config{Shards: 2}, client.WithRetransmit(500*time.Microsecond, 4*time.Millisecond))
	rapid.Check(t, func(rt *rapid.T) {
		s.SetFaults(clienttest.Faults{
			Seed:         rapid.Uint64().Draw(rt, "seed"),
			LoseRequests: rapid.Float64Range(0, 0.3).Draw(rt, "requests lost"),
			LoseReplies:  rapid.Float64Range(0, 0.3).Draw(rt, "replies lost"),
			Repeat:       rapid.Float64Range(0, 0.5).Draw(rt, "repeated"),
			Swap:         rapid.Float64Range(0, 0.5).Draw(rt, "swapped"),
			Damage:       rapid.Float64Range(0, 0.1).Draw(rt, "damaged"),
		})
		key := fmt.Sprint("key", rapid.IntRange(0, 3).Draw(rt, "key"))
		value := bytesOf(rapid.IntRange(0, 60_000).Draw(rt, "size"), rapid.Uint64().Draw(rt, "bytes"))
		if _, err := c.Put(ctx, key, value); err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(s.Value(key), value) {
			rt.Fatal("the node stored another value")
		}
		item, err := c.Get(ctx, key)
		if err != nil || !bytes.Equal(item.Value, value) {
			rt.Fatalf("%d of %d bytes came back, %v", len(item.Value), len(value), err)
		}
	})
}

// TestReplacedWhileRead: the value changes with every datagram of the reader's;
// what the reader gets is one of the values, whole.
func TestReplacedWhileRead(t *testing.T) {
	s, c := pair(t, clienttest.Config{}, client.WithRetransmit(500*time.Microsecond, 4*time.Millisecond))
	s.Set("k", bytes.Repeat([]byte{0}, 30_000))
	var next byte
	s.SetFaults(clienttest.Faults{Seed: 1, LoseReplies: 0.1, Request: func(r *wire.Request) bool {
		if next < 20 {
			next++
			s.SetLocked("k", bytes.Repeat([]byte{next}, 30_000))
		}
		return true
	}})
	for range 10 {
		item := must[client.Item](t)(c.Get(ctx, "k"))
		if len(item.Value) != 30_000 || !bytes.Equal(item.Value, bytes.Repeat(item.Value[:1], 30_000)) {
			t.Fatal("the value is a mixture")
		}
	}
}

// TestAsksOnlyForWhatIsMissing: with one lost part of a hundred, the second
// datagram asks for that part and no other.
func TestAsksOnlyForWhatIsMissing(t *testing.T) {
	// Timeouts out of the way: the gap itself must make the client ask again.
	s, c := pair(t, clienttest.Config{}, client.WithRetransmit(5*time.Second, 5*time.Second))
	value := bytesOf(100*wire.SegmentBytes, 1)
	s.Set("k", value)
	must[time.Duration](t)(c.Ping(ctx))
	var values atomic.Int64
	s.SetFaults(clienttest.Faults{Reply: func(reply []byte) bool {
		if len(reply) > wire.SegmentBytes {
			return values.Add(1) != 50
		}
		return true
	}})
	item := must[client.Item](t)(c.Get(ctx, "k"))
	if !bytes.Equal(item.Value, value) {
		t.Fatal("wrong value")
	}
	if n := values.Load(); n != 101 {
		t.Errorf("%d parts were sent for 100 with one lost", n)
	}
	if c.Counters().Resent != 0 {
		t.Error("it took a timeout to ask again")
	}
}

// TestUploadSendsAgainWhatIsMissing, and no more than that.
func TestUploadSendsAgainWhatIsMissing(t *testing.T) {
	s, c := pair(t, clienttest.Config{})
	must[time.Duration](t)(c.Ping(ctx))
	value := bytesOf(60*wire.SegmentBytes+1, 2)
	var lost atomic.Int64
	s.SetFaults(clienttest.Faults{Request: func(r *wire.Request) bool {
		return r.Cookie == 0 || lost.Add(1) > 3
	}})
	must[client.Version](t)(c.Put(ctx, "k", value))
	if !bytes.Equal(s.Value("k"), value) {
		t.Fatal("the node stored another value")
	}
	if lost.Load() <= 3 {
		t.Fatal("the fault never fired")
	}
	if parts := s.Count(wire.Put); parts > 61+61 {
		t.Errorf("%d parts arrived of 61", parts)
	}
}

// TestUploadWhoseAnswerIsLost: the node has the whole, the answer that says so is
// lost, and the node has forgotten the transfer.
func TestUploadWhoseAnswerIsLost(t *testing.T) {
	for _, row := range []struct {
		code wire.Opcode
		do   func(*client.Client, []byte) error
		want error
	}{
		{wire.Put, func(c *client.Client, v []byte) error { return second(c.Put(ctx, "k", v)) }, nil},
		{wire.Add, func(c *client.Client, v []byte) error { return second(c.Add(ctx, "k", v)) }, client.ErrOutcomeUnknown},
	} {
		s, c := pair(t, clienttest.Config{ForgetTransfers: true}, client.WithRetransmit(500*time.Microsecond, 4*time.Millisecond))
		must[time.Duration](t)(c.Ping(ctx))
		var lost atomic.Bool
		s.SetFaults(clienttest.Faults{Reply: func(reply []byte) bool {
			op := reply[wire.ReplyHeaderBytes:]
			if wire.Opcode(op[wire.ReplyOpOffsetOpcode]) == row.code && op[wire.ReplyOpOffsetStatus] == byte(wire.StatusOK) {
				return lost.Swap(true)
			}
			return true
		}})
		value := bytesOf(5000, 3)
		err := row.do(c, value)
		if !lost.Load() {
			t.Fatal("the fault never fired")
		}
		if row.want == nil && err != nil || row.want != nil && !isError(err, row.want) {
			t.Errorf("%v: %v, want %v", row.code, err, row.want)
		}
		if !bytes.Equal(s.Value("k"), value) {
			t.Errorf("%v: the node stored another value", row.code)
		}
	}
}
