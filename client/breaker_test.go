package client_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gannet/client"
	"gannet/client/clienttest"
	"gannet/wire"
)

// troubled is a cluster of three, with keys that the third leads and a copy of their
// values at all; the client has measured everybody.
func troubled(t *testing.T, before func(*clienttest.Server)) (servers []*clienttest.Server, c *client.Client, keys []string) {
	t.Helper()
	servers, c = cluster(t, 3)
	if before != nil {
		before(servers[2])
	}
	r := clienttest.NewRing(t, 1, servers...)
	keys = keysLedBy(r, servers, servers[2], 20)
	for i := range 30 {
		_ = second(c.Get(ctx, fmt.Sprint(i)))
	}
	for _, key := range keys {
		for _, s := range servers {
			s.Set(key, []byte("v"))
		}
	}
	return servers, c, keys
}

func slow(s *clienttest.Server) { slowBy(50 * time.Millisecond)(s) }

func slowBy(d time.Duration) func(*clienttest.Server) {
	return func(s *clienttest.Server) {
		s.SetFaults(clienttest.Faults{Delay: func([]byte) time.Duration { return d }})
	}
}

// TestASlowNodeIsLeftOut: once its breaker is open, reads of what a slow node leads
// do not wait for it.
func TestASlowNodeIsLeftOut(t *testing.T) {
	t.Run("at once", func(t *testing.T) { leavesOutTheSlow(t, nil, 50*time.Millisecond) })
	// Shorter than the first timeout: its round trips are measured, and its p95 is its own.
	t.Run("from the beginning", func(t *testing.T) { leavesOutTheSlow(t, slowBy(15*time.Millisecond), 15*time.Millisecond) })
}

func leavesOutTheSlow(t *testing.T, before func(*clienttest.Server), by time.Duration) {
	servers, c, keys := troubled(t, before)
	slowBy(by)(servers[2])
	for i := 0; c.Counters().Avoided == 0; i++ {
		if i > 1000 {
			t.Fatal("the breaker never opens")
		}
		must[client.Item](t)(c.Get(ctx, keys[i%len(keys)]))
	}
	asked, sent := servers[2].Count(wire.Get), c.Counters()
	took := make([]time.Duration, 0, 2000)
	for i := range cap(took) {
		start := time.Now()
		must[client.Item](t)(c.Get(ctx, keys[i%len(keys)]))
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median > by/2 {
		t.Errorf("half of the reads took %v and more", median)
	}
	if n := servers[2].Count(wire.Get) - asked; n > len(took)/10 {
		t.Errorf("the slow node was asked for %d of %d reads", n, len(took))
	}
	if n := c.Counters().Hedged - sent.Hedged; n > uint64(len(took))/10 {
		t.Errorf("%d of %d reads asked twice", n, len(took))
	}
}

// TestASlowNodeIsLeftOutOfMultiGets, too.
func TestASlowNodeIsLeftOutOfMultiGets(t *testing.T) {
	_, c, keys := troubled(t, slowBy(15*time.Millisecond))
	for i := 0; c.Counters().Avoided == 0; i++ {
		if i > 200 {
			t.Fatal("the breaker never opens")
		}
		must[[]client.Result](t)(c.GetMulti(ctx, keys))
	}
}

// TestRetriesStayWithinTheirShare, whatever a node does: all that is sent beyond one
// datagram a call, repetitions and probes included. Only where the way loses more than
// the share, and the nodes are well, repetitions go on.
func TestRetriesStayWithinTheirShare(t *testing.T) {
	const calls, burst = 3000, 64
	for name, trouble := range map[string]func(*clienttest.Server){
		"slow":  slow,
		"never": func(s *clienttest.Server) { s.SetFaults(clienttest.Faults{LoseRequests: 1}) },
		"flaps": func(s *clienttest.Server) {
			n := 0
			s.SetFaults(clienttest.Faults{Request: func(*wire.Request) bool { n++; return n/25%2 == 0 }})
		},
		"all lose half": nil,
	} {
		t.Run(name, func(t *testing.T) {
			servers, c, keys := troubled(t, nil)
			if trouble == nil {
				for _, s := range servers {
					s.SetFaults(clienttest.Faults{LoseReplies: 0.5})
				}
			} else {
				trouble(servers[2])
			}
			before := c.Counters()
			var wg sync.WaitGroup
			for worker := range 16 {
				wg.Go(func() {
					for i := range calls / 16 {
						if item, err := c.Get(ctx, keys[(i+worker)%len(keys)]); err != nil || string(item.Value) != "v" {
							t.Errorf("%q, %v", item.Value, err)
						}
					}
				})
			}
			wg.Wait()
			after := c.Counters()
			if n := after.Hedged - before.Hedged; n > calls/10+burst {
				t.Errorf("%d of %d reads asked a second node", n, calls)
			}
			if extra := after.Sent - before.Sent - calls/16*16; trouble != nil && extra > calls/10+2*burst {
				t.Errorf("%d datagrams for %d reads", after.Sent-before.Sent, calls)
			}
		})
	}
}

// TestWithoutARetryShareNobodyIsAskedTwice.
func TestWithoutARetryShareNobodyIsAskedTwice(t *testing.T) {
	servers := clienttest.NewCluster(t, 3, clienttest.Config{})
	c := open(t, servers[0], client.WithRetryShare(0))
	for i := range 100 {
		_ = second(c.Get(ctx, fmt.Sprint(i)))
	}
	for _, s := range servers {
		s.SetFaults(clienttest.Faults{Delay: func([]byte) time.Duration { return 5 * time.Millisecond }})
	}
	for i := range 200 {
		_ = second(c.Get(ctx, fmt.Sprint(i)))
	}
	if n := c.Counters().Hedged; n > 0 {
		t.Errorf("%d reads asked a second node", n)
	}
}

func TestBreakerOptionsWantSense(t *testing.T) {
	for _, opt := range []client.Option{client.WithBreaker(0, 20, 1), client.WithBreaker(21, 20, 1), client.WithBreaker(5, 20, 0), client.WithRefreshers(0)} {
		if _, err := client.Open([]string{"127.0.0.1:1"}, opt); !errors.Is(err, client.ErrBadRequest) {
			t.Error(err)
		}
	}
}
