package dataplane

import (
	"errors"
	"testing"
	"time"

	"gannet/board"
	"gannet/dataplane/port"
	"gannet/dataplane/porttest"
	"gannet/wire"
)

// awaitReply waits for one datagram of a port whose loop runs.
func awaitReply(t *testing.T, p *porttest.Memory) []byte {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Microsecond) {
		if b, _, ok := p.Take(); ok {
			return b
		}
	}
	t.Fatal("no reply")
	return nil
}

// TestChangePortWhileServing: another goroutine takes a loop's port away and gives it
// another; items stay, drops go on counting, nobody waits for ever.
func TestChangePortWhileServing(t *testing.T) {
	r := newRig(t, rigOptions{port: zeroCopyPort(), store: roomyStore()})
	value := string(pattern(1200))
	r.mustStatus(wire.StatusOK, put("k", value))
	for range 3 { // longer than a frame: lost, and counted
		r.port.Inject(make([]byte, 1<<16), r.from)
	}
	ask := datagram(r.header(), get("k"))
	var stop Stop
	ran := make(chan error)
	clock := r.now
	go func() {
		ran <- r.loop.Run(&stop, -1, func() int64 {
			clock += 50_000
			return clock
		})
	}()
	<-r.loop.Started()

	stamped := make(chan struct{}, 1)
	stamp := func(int64) {
		select {
		case stamped <- struct{}{}:
		default:
		}
	}
	for range 3 {
		if err := r.loop.ChangePort(nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := r.port.Flush(); !errors.Is(err, port.ErrClosed) {
			t.Fatalf("the old port is open: %v", err)
		}
		opt := zeroCopyPort()
		opt.NowNanos = func() int64 { return r.now }
		r.port = porttest.New(opt)
		r.port.Inject(ask, r.from) // before the loop has it
		if err := r.loop.ChangePort(r.port, stamp); err != nil {
			t.Fatal(err)
		}
		var reply wire.Reply
		if reason := wire.ParseReply(awaitReply(t, r.port), &reply); reason != wire.ReasonNone {
			t.Fatal(reason)
		}
		ops, op := reply.Ops(), wire.ReplyOp{}
		if !ops.Next(&op) || string(op.Value) != value {
			t.Fatalf("status %v, %d bytes", op.Status, len(op.Value))
		}
	}
	stop.Set()
	r.loop.Wake()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	select {
	case <-stamped:
	default:
		t.Error("the new stamp was never called")
	}
	if err := r.loop.ChangePort(nil, nil); !errors.Is(err, errLoopEnded) {
		t.Errorf("a change after the end: %v", err)
	}
	r.loop.publishCounters()
	c := r.board.Counters(0)
	if n := c.GetIn(board.GroupPort, int(port.DropTruncated)); n != 3 {
		t.Errorf("%d drops of the first port are left, want 3", n)
	}
	if n := c.Get(board.CountPortChanges); n != 3 {
		t.Errorf("%d changes counted", n)
	}
}
