package openloop_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gannet/client/clienttest"
	"gannet/loadgen/openloop"
	"gannet/wire"
)

func options(node *clienttest.Server) openloop.Options {
	return openloop.Options{
		Server: netip.MustParseAddrPort(node.Addr()), Keys: 100,
		Rate: 2000, Duration: 200 * time.Millisecond, Budget: 30 * time.Second,
	}
}

func fill(node *clienttest.Server, from, to int) {
	for n := from; n < to; n++ {
		node.Set(string(openloop.Key(nil, n)), make([]byte, 100))
	}
}

func run(t *testing.T, o openloop.Options) *openloop.Result {
	t.Helper()
	r, err := openloop.Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent != r.Good+r.Late+r.Shed+r.Missed+r.Failed+r.Lost {
		t.Errorf("the outcomes do not add up: %+v", r)
	}
	return r
}

func TestOffersItsSchedule(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{Shards: 2})
	fill(node, 0, 100)
	o := options(node)
	o.Sockets = 2
	r := run(t, o)
	if r.Sent < 380 || r.Sent > 400 || r.Good != r.Sent || node.Count(wire.Get) != int(r.Sent) {
		t.Errorf("%+v; the node saw %d GETs, want all of 400 good", r, node.Count(wire.Get))
	}
}

func TestPins(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{})
	fill(node, 0, 100)
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	o := options(node)
	for cpu := range 1024 {
		if allowed.IsSet(cpu) {
			o.CPUs = append(o.CPUs, cpu)
		}
	}
	o.Sockets = 3
	if r := run(t, o); r.Good != r.Sent {
		t.Errorf("%+v", r)
	}
	o.CPUs = []int{1023}
	if _, err := openloop.Run(context.Background(), o); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a CPU that does not exist: %v, want EINVAL", err)
	}
}

func TestFilesOutcomes(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{})
	fill(node, 0, 50) // of 100: the others miss
	node.Answer(wire.Get, wire.StatusTooLate, 20)
	node.Answer(wire.Get, wire.StatusOverloaded, 10)
	node.Answer(wire.Get, wire.StatusUnavailable, 5)
	drop := 7
	node.SetFaults(clienttest.Faults{Repeat: 0.5, Request: func(r *wire.Request) bool {
		if r.Cookie == 0 || drop == 0 {
			return true
		}
		drop--
		return false
	}})
	r := run(t, options(node))
	if r.Shed != 30 || r.Failed != 5 || r.Lost != 7 || r.Missed == 0 || r.Good == 0 || r.Late != 0 {
		t.Errorf("%+v", r)
	}
}

func TestLateIsNotGood(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{})
	fill(node, 0, 100)
	node.SetFaults(clienttest.Faults{Delay: func([]byte) time.Duration { return 20 * time.Millisecond }})
	o := options(node)
	o.Budget = 10 * time.Millisecond
	if r := run(t, o); r.Good != 0 || r.Late == 0 || r.P50Micros < 20_000 {
		t.Errorf("every reply takes 20ms, the budget is 10ms: %+v", r)
	}
}

func TestRefusesNonsense(t *testing.T) {
	good := openloop.Options{
		Server: netip.MustParseAddrPort("127.0.0.1:1"), Keys: 1, Rate: 1, Duration: time.Second, Budget: time.Second,
	}
	for name, change := range map[string]func(*openloop.Options){
		"keys":     func(o *openloop.Options) { o.Keys = 0 },
		"rate":     func(o *openloop.Options) { o.Rate = 0 },
		"duration": func(o *openloop.Options) { o.Duration = 0 },
		"budget":   func(o *openloop.Options) { o.Budget = 0 },
		"sockets":  func(o *openloop.Options) { o.Sockets = 65 },
		"server":   func(o *openloop.Options) { o.Server = netip.AddrPort{} },
	} {
		o := good
		change(&o)
		if _, err := openloop.Run(context.Background(), o); !errors.Is(err, openloop.ErrOptions) {
			t.Errorf("%s: %v, want ErrOptions", name, err)
		}
	}
}

// TestAwaitsTheNode: a node whose port is still closed is waited for.
func TestAwaitsTheNode(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{})
	fill(node, 0, 100)
	node.Stop()
	done := make(chan error)
	go func() {
		_, err := openloop.Run(context.Background(), options(node))
		done <- err
	}()
	time.Sleep(10 * time.Millisecond) // most likely refused once by now; either way it must end well
	if err := node.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNoNode(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	o := openloop.Options{Server: netip.MustParseAddrPort("127.0.0.1:1"), Keys: 1, Rate: 1, Duration: time.Second, Budget: time.Second}
	if _, err := openloop.Run(ctx, o); err == nil {
		t.Error("a run without a node must fail")
	}
}
