package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"gannet/client"
	"gannet/client/clienttest"
	"gannet/ring"
	"gannet/wire"
)

// cluster starts nodes and a client that knows the first only.
func cluster(t *testing.T, nodes int, opts ...client.Option) ([]*clienttest.Server, *client.Client) {
	t.Helper()
	servers := clienttest.NewCluster(t, nodes, clienttest.Config{Shards: 2})
	return servers, open(t, servers[0], opts...)
}

// replicasOf are the servers that hold a key, the leader first.
func replicasOf(r *ring.Ring, servers []*clienttest.Server, key string) []*clienttest.Server {
	var out []*clienttest.Server
	for _, m := range r.Replicas(wire.KeyHash([]byte(key)), nil) {
		out = append(out, servers[m.ID-1])
	}
	return out
}

// keysLedBy makes keys that a server leads.
func keysLedBy(r *ring.Ring, servers []*clienttest.Server, leader *clienttest.Server, n int) []string {
	var keys []string
	for i := 0; len(keys) < n; i++ {
		key := fmt.Sprintf("key-%d", i)
		if replicasOf(r, servers, key)[0] == leader {
			keys = append(keys, key)
		}
	}
	return keys
}

func TestOneServerLeadsToAll(t *testing.T) {
	servers, c := cluster(t, 3)
	r := clienttest.NewRing(t, 1, servers...)
	for i := range 100 {
		key := fmt.Sprintf("key-%d", i)
		must[client.Version](t)(c.Put(ctx, key, []byte(key)))
		if leader := replicasOf(r, servers, key)[0]; string(leader.Value(key)) != key {
			t.Fatalf("%s is not at its leader", key)
		}
		for _, follower := range replicasOf(r, servers, key)[1:] {
			follower.Set(key, []byte("a copy"))
		}
		hedged := c.Counters().Hedged
		item := must[client.Item](t)(c.Get(ctx, key))
		if late := c.Counters().Hedged > hedged; string(item.Value) != key && (!late || string(item.Value) != "a copy") {
			t.Fatalf("get %s: %q; asked another node as well, because the leader was late: %v", key, item.Value, late)
		}
	}
	if moved := c.Counters().Moved; moved != 0 {
		t.Errorf("%d calls went to the wrong node first", moved)
	}
}

// TestMovedAloneIsEnough: a client with an outdated ring is led on by the replies.
func TestMovedAloneIsEnough(t *testing.T) {
	servers := clienttest.NewCluster(t, 3, clienttest.Config{})
	clienttest.Publish(t, clienttest.NewRing(t, 1, servers[0]), servers...)
	c := open(t, servers[0])
	must[client.Version](t)(c.Put(ctx, "first", nil))
	r := clienttest.NewRing(t, 2, servers...)
	clienttest.Publish(t, r, servers...)
	for _, leader := range servers {
		for _, key := range keysLedBy(r, servers, leader, 5) {
			must[client.Version](t)(c.Put(ctx, key, []byte(key)))
			if string(leader.Value(key)) != key {
				t.Fatalf("%s is not at its new leader", key)
			}
		}
	}
	results, err := c.GetMulti(ctx, keysLedBy(r, servers, servers[2], 20))
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results[0].Err)
	}
}

func TestMovedForEverIsAnError(t *testing.T) {
	servers, c := cluster(t, 2)
	must[client.Version](t)(c.Put(ctx, "k", nil))
	for _, s := range servers {
		s.Answer(wire.Put, wire.StatusMoved, 1<<30)
	}
	put := func(ctx context.Context) error { return second(c.Put(ctx, "k", nil)) }
	if err := soon(t, put, is(client.ErrMoved)); !errors.Is(err, client.ErrMoved) {
		t.Fatalf("%v, want ErrMoved", err)
	}
}

// TestReadsOutliveTheirLeader: reads of a key whose leader refuses are answered by
// its follower at once, and later ones go there first.
func TestReadsOutliveTheirLeader(t *testing.T) {
	for name, down := range map[string]func(*clienttest.Server){
		"refuses": func(s *clienttest.Server) { s.Stop() },
		"silent":  func(s *clienttest.Server) { s.SetFaults(clienttest.Faults{LoseRequests: 1}) },
	} {
		t.Run(name, func(t *testing.T) {
			servers, c := cluster(t, 3)
			r := clienttest.NewRing(t, 1, servers...)
			keys := keysLedBy(r, servers, servers[2], 50)
			for _, key := range keys {
				must[client.Version](t)(c.Put(ctx, key, []byte("leader")))
				replicasOf(r, servers, key)[1].Set(key, []byte("follower"))
			}
			down(servers[2])
			for round := range 4 {
				for _, key := range keys {
					if item := must[client.Item](t)(c.Get(ctx, key)); string(item.Value) != "follower" {
						t.Fatalf("round %d: %q", round, item.Value)
					}
				}
			}
			if n := c.Counters(); n.Avoided == 0 || n.Hedged == 0 {
				t.Errorf("%d reads left the dead node out, %d asked a second one", n.Avoided, n.Hedged)
			}
			results, err := c.GetMulti(ctx, keys)
			if err != nil {
				t.Fatal(err)
			}
			for i, res := range results {
				if string(res.Value) != "follower" {
					t.Fatalf("key %d of a multi-get: %q, %v", i, res.Value, res.Err)
				}
			}
		})
	}
}

// TestMultiGetAsksOthersForASilentNodesKeys without any breaker's help.
func TestMultiGetAsksOthersForASilentNodesKeys(t *testing.T) {
	servers, c := cluster(t, 3)
	r := clienttest.NewRing(t, 1, servers...)
	keys := keysLedBy(r, servers, servers[1], 20)
	for _, key := range keys {
		must[client.Version](t)(c.Put(ctx, key, []byte("leader")))
		replicasOf(r, servers, key)[1].Set(key, []byte("follower"))
	}
	servers[1].SetFaults(clienttest.Faults{LoseRequests: 1})
	results, err := c.GetMulti(ctx, keys)
	if err != nil {
		t.Fatal(err)
	}
	for i, res := range results {
		if string(res.Value) != "follower" {
			t.Fatalf("key %d: %q, %v", i, res.Value, res.Err)
		}
	}
}

// TestWritesFollowAPromotion: a write whose leader is gone waits for the ring that
// names another one, which the other nodes hand out.
func TestWritesFollowAPromotion(t *testing.T) {
	servers, c := cluster(t, 3)
	r := clienttest.NewRing(t, 1, servers...)
	key := keysLedBy(r, servers, servers[0], 1)[0]
	must[client.Version](t)(c.Put(ctx, key, []byte("old")))
	servers[0].Stop()
	arrived := make(chan error, 1)
	go func() { arrived <- second(c.Put(ctx, key, []byte("new"))) }()
	next := clienttest.NewRing(t, 2, servers[1], servers[2])
	clienttest.Publish(t, next, servers[1], servers[2])
	if err := <-arrived; err != nil {
		t.Fatal(err)
	}
	if leader := servers[next.Owner(wire.KeyHash([]byte(key))).ID-1]; string(leader.Value(key)) != "new" {
		t.Error("the write is not at the new leader")
	}
}

// TestConditionalWriteAcrossAPromotionIsUnknown: the former leader may have done it.
func TestConditionalWriteAcrossAPromotionIsUnknown(t *testing.T) {
	servers, c := cluster(t, 3)
	r := clienttest.NewRing(t, 1, servers...)
	key := keysLedBy(r, servers, servers[0], 1)[0]
	must[client.Version](t)(c.Put(ctx, key, []byte("1")))
	seen := make(chan struct{}, 100)
	servers[0].SetFaults(clienttest.Faults{Request: func(r *wire.Request) bool {
		if asks(r, wire.Incr) {
			seen <- struct{}{}
		}
		return false
	}})
	arrived := make(chan error, 1)
	go func() { arrived <- second(c.Incr(ctx, key, 1)) }()
	<-seen
	clienttest.Publish(t, clienttest.NewRing(t, 2, servers[1], servers[2]), servers[1], servers[2])
	if err := <-arrived; !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Fatalf("%v, want ErrOutcomeUnknown", err)
	}
}

func TestFencedWriteIsTriedAgain(t *testing.T) {
	servers, c := cluster(t, 2)
	must[client.Version](t)(c.Put(ctx, "k", nil))
	for _, s := range servers {
		s.Answer(wire.Put, wire.StatusFenced, 2)
	}
	must[client.Version](t)(c.Put(ctx, "k", []byte("v")))
}

// TestRepliesOfAnOlderRingAreIgnored: a node that lags behind is not believed.
func TestRepliesOfAnOlderRingAreIgnored(t *testing.T) {
	servers, c := cluster(t, 3, client.WithTimeout(2*time.Second))
	r := clienttest.NewRing(t, 5, servers...)
	clienttest.Publish(t, r, servers[0], servers[1])
	key := keysLedBy(r, servers, servers[0], 1)[0]
	must[client.Version](t)(c.Put(ctx, key, nil)) // brings the ring of epoch 5
	for c.Counters().Dropped["outdated"] == 0 {
		lagging := keysLedBy(r, servers, servers[2], 1)[0]
		short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
		err := second(c.Put(short, lagging, nil))
		cancel()
		if err != nil && !errors.Is(err, client.ErrTimeout) {
			t.Fatal(err)
		}
	}
}

func TestASecondServerStandsInForTheFirst(t *testing.T) {
	servers := clienttest.NewCluster(t, 2, clienttest.Config{})
	gone := clienttest.New(t, clienttest.Config{})
	gone.Stop()
	c, err := client.Open([]string{gone.Addr(), servers[1].Addr()}, client.WithTimeout(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	must[client.Version](t)(c.Put(ctx, "k", nil))
}
