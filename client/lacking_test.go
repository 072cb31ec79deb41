package client_test

import (
	"testing"
	"time"

	"gannet/client"
	"gannet/client/clienttest"
	"gannet/wire"
)

// lackingFollower is a cluster in which reads of some keys go to the first server's
// followers, which lack them: they say BEHIND.
func lackingFollower(t *testing.T) ([]*clienttest.Server, *client.Client, []string) {
	t.Helper()
	servers, c := cluster(t, 3)
	r := clienttest.NewRing(t, 1, servers...)
	keys := keysLedBy(r, servers, servers[0], 50)
	for _, key := range keys {
		must[client.Version](t)(c.Put(ctx, key, []byte("leader")))
		replicasOf(r, servers, key)[1].Set(key, []byte("follower"))
	}
	servers[0].SetFaults(clienttest.Faults{LoseRequests: 1})
	for i := 0; c.Counters().Avoided < 5; i++ {
		must[client.Item](t)(c.Get(ctx, keys[i%len(keys)]))
	}
	for _, s := range servers[1:] {
		s.Answer(wire.Get, wire.StatusBehind, 1<<30)
	}
	servers[0].SetFaults(clienttest.Faults{})
	return servers, c, keys
}

// TestAFollowerThatLacksAKeyIsNotBelieved: the leader is asked at once, and the follower
// is left out for a while, so that reads do not go two ways each.
func TestAFollowerThatLacksAKeyIsNotBelieved(t *testing.T) {
	servers, c, keys := lackingFollower(t)
	before := servers[1].Count(wire.Get) + servers[2].Count(wire.Get)
	for _, key := range keys {
		if item := must[client.Item](t)(c.Get(ctx, key)); string(item.Value) != "leader" {
			t.Fatalf("%s: %q", key, item.Value)
		}
	}
	n, asked := c.Counters().TurnedBack, servers[1].Count(wire.Get)+servers[2].Count(wire.Get)-before
	if n == 0 || asked > len(keys)/2 {
		t.Errorf("%d reads of %d turned back, the followers were asked %d times", n, len(keys), asked)
	}
}

func TestMultiGetOfKeysThatAFollowerLacks(t *testing.T) {
	_, c, keys := lackingFollower(t)
	results, err := c.GetMulti(ctx, keys)
	if err != nil {
		t.Fatal(err)
	}
	for i, res := range results {
		if string(res.Value) != "leader" {
			t.Fatalf("%s: %q, %v", keys[i], res.Value, res.Err)
		}
	}
	if c.Counters().TurnedBack == 0 {
		t.Error("no key was turned back")
	}
}

// TestASecondQuestionToAFollowerThatLacksTheKey waits for the leader, however late.
func TestASecondQuestionToAFollowerThatLacksTheKey(t *testing.T) {
	servers, c := cluster(t, 3)
	r := clienttest.NewRing(t, 1, servers...)
	key := keysLedBy(r, servers, servers[0], 1)[0]
	must[client.Version](t)(c.Put(ctx, key, []byte("leader")))
	replicasOf(r, servers, key)[1].Answer(wire.Get, wire.StatusBehind, 1<<30)
	servers[0].SetFaults(clienttest.Faults{Delay: func([]byte) time.Duration { return 200 * time.Millisecond }})
	if item := must[client.Item](t)(c.Get(ctx, key)); string(item.Value) != "leader" {
		t.Fatalf("%q", item.Value)
	}
	if n := c.Counters(); n.Hedged == 0 || n.Moved != 0 {
		t.Errorf("%d second questions were asked, and %d calls begun anew", n.Hedged, n.Moved)
	}
}

// TestALeaderThatIsBehindIsTheLastWord for a reader that asks for a version.
func TestALeaderThatIsBehindIsTheLastWord(t *testing.T) {
	servers, c := cluster(t, 3)
	r := clienttest.NewRing(t, 1, servers...)
	key := keysLedBy(r, servers, servers[0], 1)[0]
	version := must[client.Version](t)(c.Put(ctx, key, []byte("v")))
	if err := second(c.Get(ctx, key, client.AtLeast(version+1))); err == nil || c.Counters().TurnedBack != 0 {
		t.Fatalf("%v, %d turned back", err, c.Counters().TurnedBack)
	}
}
