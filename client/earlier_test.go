package client_test

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"gannet/client"
	"gannet/client/clienttest"
	"gannet/wire"
)

// TestLateAnswersCount: a node that takes longer for each answer than the client ever
// waits is heard all the same.
func TestLateAnswersCount(t *testing.T) {
	s, c := pair(t, clienttest.Config{}, client.WithRetransmit(10*time.Millisecond, 10*time.Millisecond))
	var keys []string
	for i := range 8 {
		keys = append(keys, fmt.Sprint("key", i))
		s.Set(keys[i], bytesOf(i*700, uint64(i)))
	}
	must[time.Duration](t)(c.Ping(ctx))
	s.SetFaults(clienttest.Faults{Delay: func(reply []byte) time.Duration {
		if wire.Opcode(reply[wire.ReplyHeaderBytes+wire.ReplyOpOffsetOpcode]) == wire.Get {
			return 25 * time.Millisecond
		}
		return 0
	}})
	for i, r := range must[[]client.Result](t)(c.GetMulti(ctx, keys)) {
		if !bytes.Equal(r.Value, bytesOf(i*700, uint64(i))) {
			t.Errorf("%s: wrong value", keys[i])
		}
	}
	if c.Counters().Resent == 0 {
		t.Error("nothing was asked for again: no answer was late")
	}
}

// asks tells a request of the test's own from what else a client sends: above all, the
// probes of how long a datagram may be.
func asks(r *wire.Request, code wire.Opcode) bool {
	ops := r.Ops()
	var op wire.Op
	return ops.Next(&op) && op.Code == code
}

// TestUploadNoticesLossByOvertaking: a part that is lost among others is sent again
// because they are answered, not because time passes.
func TestUploadNoticesLossByOvertaking(t *testing.T) {
	s, c := pair(t, clienttest.Config{}, client.WithRetransmit(time.Minute, time.Minute), client.WithSourcePorts(1))
	must[time.Duration](t)(c.Ping(ctx))
	value := bytesOf(60*wire.SegmentBytes, 4)
	must[client.Version](t)(c.Put(ctx, "k", value[:10])) // brings the cookie
	var parts atomic.Int64
	s.SetFaults(clienttest.Faults{Request: func(r *wire.Request) bool { return !asks(r, wire.Put) || parts.Add(1) != 20 }})
	must[client.Version](t)(c.Put(ctx, "k", value))
	if !bytes.Equal(s.Value("k"), value) {
		t.Fatal("the node stored another value")
	}
	if n := parts.Load(); n < 61 || n > 61+5 { // a few that were only overtaken may go twice
		t.Errorf("%d parts were sent of 60, of which one was lost", n)
	}
}

// TestUploadAsksForTheOutcome: when the node has the whole and its answer is lost, one
// part brings it again.
func TestUploadAsksForTheOutcome(t *testing.T) {
	// So long that no part but the one whose answer is lost is ever overdue.
	s, c := pair(t, clienttest.Config{}, client.WithRetransmit(400*time.Millisecond, 400*time.Millisecond), client.WithSourcePorts(1))
	must[client.Version](t)(c.Put(ctx, "k", []byte("cookie")))
	var lost, parts atomic.Int64
	s.SetFaults(clienttest.Faults{
		Request: func(r *wire.Request) bool {
			if asks(r, wire.Put) {
				parts.Add(1)
			}
			return true
		},
		Reply: func(reply []byte) bool {
			return wire.Status(reply[wire.ReplyHeaderBytes+wire.ReplyOpOffsetStatus]) != wire.StatusOK || lost.Add(1) > 1
		},
	})
	value := bytesOf(60*wire.SegmentBytes, 5)
	must[client.Version](t)(c.Put(ctx, "k", value))
	if lost.Load() < 2 {
		t.Fatal("the fault never fired")
	}
	if n := parts.Load(); n > 60+5 {
		t.Errorf("%d parts were sent of 60: all of them again for one answer", n)
	}
	if !bytes.Equal(s.Value("k"), value) {
		t.Fatal("the node stored another value")
	}
}
