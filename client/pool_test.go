package client

import (
	"context"
	"errors"
	"testing"
	"time"

	"gannet/client/clienttest"
	"gannet/wire"
)

// TestSearchKeepsFewSockets: looking for a source port that does not exist leaves
// no heap of sockets behind.
func TestSearchKeepsFewSockets(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{Queue: func(int, uint16) uint16 { return 7 }})
	c, err := Open([]string{node.Addr()}, WithSourcePorts(2))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 3 * portTries {
		if _, err := c.Ping(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	p := &c.seeds[0].info.Load().pools[0]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.learner.tries != portTries {
		t.Errorf("%d source ports tried, want %d", p.learner.tries, portTries)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if most := 2 + retiredSockets + 1; len(c.conns) > most {
		t.Errorf("%d sockets open, want %d at most", len(c.conns), most)
	}
}

// TestCallsLeaveTheTable: however calls end, none stays behind.
func TestCallsLeaveTheTable(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{})
	c, err := Open([]string{node.Addr()}, WithRetransmit(time.Millisecond, 4*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	if _, err := c.Put(ctx, "k", make([]byte, 20_000)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetMulti(ctx, []string{"a", "b", "k"}); err != nil {
		t.Fatal(err)
	}
	node.SetFaults(clienttest.Faults{LoseReplies: 1})
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, getErr := c.Get(short, "k")
	_, putErr := c.Put(short, "k", make([]byte, 20_000))
	_, multiErr := c.GetMulti(short, []string{"a", "b", "k"})
	for _, err := range []error{getErr, putErr, multiErr} {
		if !errors.Is(err, ErrTimeout) {
			t.Errorf("%v, want ErrTimeout", err)
		}
	}
	if n := c.seeds[0].pending.len(); n != 0 {
		t.Errorf("%d calls are left in the table", n)
	}
}

// TestCallIgnoresOthersReplies: a reader that found a call in the table just
// before it left, and delivers only when the call serves someone else, does no
// harm.
func TestCallIgnoresOthersReplies(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{})
	c, err := Open([]string{node.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	call := newCall(c)
	defer call.release()
	call.targets[0], call.aims = target{node: c.seeds[0]}, 1
	call.add(wire.Get, "k")
	call.order = []uint16{0}
	call.enter()
	defer call.leave()
	buf := make([]byte, 200)
	var w wire.ReplyWriter
	w.Begin(buf, &wire.ReplyHeader{RequestID: call.id + 1, SessionID: c.session}, false)
	w.Append(&wire.ReplyOp{Code: wire.Get, Status: wire.StatusMiss})
	var reply wire.Reply
	if reason := wire.ParseReply(buf[:w.Finish()], &reply); reason != wire.ReasonNone {
		t.Fatal(reason)
	}
	call.receive(&reply, &conn{client: c, node: c.seeds[0]}, 0)
	if call.left != 1 || c.Counters().Dropped["late"] != 1 {
		t.Errorf("the reply to another request was taken: %d left", call.left)
	}
}

// TestASilentNodeIsFoundOutWithNothingToSpend: when what was saved up is gone before the
// breaker of a node that is silent has opened, those who wait for it do not wait for ever.
func TestASilentNodeIsFoundOutWithNothingToSpend(t *testing.T) {
	servers := clienttest.NewCluster(t, 2, clienttest.Config{})
	c, err := Open([]string{servers[0].Addr()}, WithTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	for _, s := range servers {
		s.Set("k", []byte("v"))
	}
	if _, err := c.Get(ctx, "k"); err != nil { // brings the ring
		t.Fatal(err)
	}
	leader := clienttest.NewRing(t, 1, servers...).Owner(wire.KeyHash([]byte("k"))).ID - 1
	servers[leader].SetFaults(clienttest.Faults{LoseRequests: 1})
	for c.budget.take(0) {
	}
	for range 8 {
		if item, err := c.Get(ctx, "k"); err != nil || string(item.Value) != "v" {
			t.Fatalf("%q, %v", item.Value, err)
		}
	}
}
