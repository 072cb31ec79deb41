package client_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"gannet/client"
	"gannet/client/clienttest"
	"gannet/wire"
)

// nearby is a cluster with control ports, and a client with an L1 that hears them all.
func nearby(t *testing.T, nodes int) ([]*clienttest.Server, []*clienttest.Control, *client.Client) {
	t.Helper()
	servers := clienttest.NewCluster(t, nodes, clienttest.Config{})
	controls := make([]*clienttest.Control, nodes)
	for i, s := range servers {
		controls[i] = clienttest.NewControl(t, s)
	}
	clienttest.Publish(t, clienttest.NewRing(t, 1, servers...), servers...)
	// Followers of this cluster have no copies: nobody is asked twice.
	c := open(t, servers[0], client.WithL1(1<<20, 5*time.Second), client.WithRetryShare(0))
	must[time.Duration](t)(c.Ping(ctx))
	_ = second(c.Get(ctx, "any")) // brings the ring
	eventually(t, "all members are heard", func() bool { return c.L1().Origins == nodes })
	return servers, controls, c
}

// warm gets a key until the client answers by itself.
func warm(t *testing.T, c *client.Client, key string) client.Item {
	t.Helper()
	var item client.Item
	eventually(t, "a copy of "+key, func() bool {
		item = must[client.Item](t)(c.Get(ctx, key))
		return item.FromL1
	})
	return item
}

func TestL1AnswersHotKeys(t *testing.T) {
	servers, _, c := nearby(t, 1)
	s := servers[0]
	s.Set("hot", []byte("value"))
	s.Set("ungranted", []byte("value"))
	s.Grant("hot", 5000)
	item := warm(t, c, "hot")
	asked := s.Count(wire.Get)
	for range 100 {
		item = must[client.Item](t)(c.Get(ctx, "hot"))
		if string(item.Value) != "value" || !item.FromL1 {
			t.Fatalf("%+v", item)
		}
	}
	results := must[[]client.Result](t)(c.GetMulti(ctx, []string{"hot", "hot"}))
	if !results[0].FromL1 || string(results[1].Value) != "value" {
		t.Fatalf("%+v", results)
	}
	if loaded := must[client.Item](t)(c.GetOrLoad(ctx, "hot", never(t))); !loaded.FromL1 {
		t.Fatalf("%+v", loaded)
	}
	if n := s.Count(wire.Get) - asked; n != 0 {
		t.Fatalf("the node was asked %d times", n)
	}
	item.Value[0] = 'X' // the caller's own
	if again := must[client.Item](t)(c.Get(ctx, "hot")); string(again.Value) != "value" {
		t.Fatalf("%q", again.Value)
	}
	for range 100 {
		if item := must[client.Item](t)(c.Get(ctx, "ungranted")); item.FromL1 {
			t.Fatal("kept without a grant")
		}
	}
	if n := c.Counters().L1Hits; n < 103 {
		t.Errorf("%d hits counted", n)
	}
}

func TestL1RespectsOptions(t *testing.T) {
	servers, _, c := nearby(t, 1)
	servers[0].Set("hot", []byte("v"))
	servers[0].Grant("hot", 5000)
	item := warm(t, c, "hot")
	asked, resent := servers[0].Count(wire.Get), c.Counters().Resent
	if same := must[client.Item](t)(c.Get(ctx, "hot", client.AtLeast(item.Version))); !same.FromL1 {
		t.Error("a copy of the version asked for is good enough")
	}
	if _, err := c.Get(ctx, "hot", client.AtLeast(item.Version+1)); !errors.Is(err, client.ErrBehind) {
		t.Errorf("AtLeast: %v", err)
	}
	for name, opt := range map[string]client.GetOption{"lease": client.TakeLease(), "metadata": client.MetadataOnly()} {
		if got := must[client.Item](t)(c.Get(ctx, "hot", opt)); got.FromL1 {
			t.Errorf("%s: answered from L1", name)
		}
	}
	again := int(c.Counters().Resent - resent) // on a busy machine
	if n := servers[0].Count(wire.Get) - asked; n < 3 || n > 3+again {
		t.Errorf("the node was asked %d times, want 3; %d were sent again", n, again)
	}
}

// TestL1Invalidation: a write that is announced removes the copy; an older one does not.
func TestL1Invalidation(t *testing.T) {
	servers, controls, c := nearby(t, 2)
	r := clienttest.NewRing(t, 1, servers...)
	key := keysLedBy(r, servers, servers[1], 1)[0]
	servers[1].Set(key, []byte("old"))
	servers[1].Grant(key, 5000)
	old := warm(t, c, key)
	heard := c.Counters().Invalidations
	controls[1].Invalidate(key, uint64(old.Version))
	eventually(t, "heard", func() bool { return c.Counters().Invalidations == heard+1 })
	if item := must[client.Item](t)(c.Get(ctx, key)); !item.FromL1 {
		t.Error("an event of the copy's own write removes it")
	}
	version := servers[1].Set(key, []byte("new"))
	controls[1].Invalidate(key, version)
	eventually(t, "the new value is seen", func() bool {
		return string(must[client.Item](t)(c.Get(ctx, key)).Value) == "new"
	})
}

// TestL1KeepsNothingThatRacedWithAWrite: the answer is on its way when the event that
// makes it old arrives.
func TestL1KeepsNothingThatRacedWithAWrite(t *testing.T) {
	servers, controls, c := nearby(t, 1)
	s := servers[0]
	old := s.Set("hot", []byte("old"))
	for range 10 {
		must[client.Item](t)(c.Get(ctx, "hot")) // hot by now
	}
	s.Grant("hot", 5000)
	heard := c.Counters().Invalidations
	s.SetFaults(clienttest.Faults{Reply: func([]byte) bool {
		controls[0].Invalidate("hot", old+1)
		for c.Counters().Invalidations == heard {
			time.Sleep(100 * time.Microsecond)
		}
		return true
	}})
	if item := must[client.Item](t)(c.Get(ctx, "hot")); string(item.Value) != "old" || item.FromL1 {
		t.Fatalf("%+v", item)
	}
	s.SetFaults(clienttest.Faults{})
	if item := must[client.Item](t)(c.Get(ctx, "hot")); item.FromL1 {
		t.Fatal("an overtaken answer was kept")
	}
	if item := must[client.Item](t)(c.Get(ctx, "hot")); !item.FromL1 {
		t.Fatal("nothing is kept any more") // that one was asked for after the event
	}
}

func TestL1SeesItsOwnWrites(t *testing.T) {
	servers, _, c := nearby(t, 1)
	servers[0].Set("hot", []byte("0"))
	servers[0].Grant("hot", 5000)
	for i := range 10 {
		warm(t, c, "hot")
		value := fmt.Sprint(i + 1)
		must[client.Version](t)(c.Put(ctx, "hot", []byte(value)))
		if item := must[client.Item](t)(c.Get(ctx, "hot")); string(item.Value) != value {
			t.Fatalf("read %q after writing %s", item.Value, value)
		}
	}
	warm(t, c, "hot")
	if err := c.Delete(ctx, "hot"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(ctx, "hot"); !errors.Is(err, client.ErrMiss) {
		t.Fatalf("read after its deletion: %v", err)
	}
}

// TestL1ForgetsWhatIsNotCovered: a flush, silence and a broken stream each drop the
// copies, and nothing is kept until the origin is covered again.
func TestL1ForgetsWhatIsNotCovered(t *testing.T) {
	for name, row := range map[string]struct{ lose, regain func(*clienttest.Control) }{
		"flush": {
			func(k *clienttest.Control) { k.Flush(1, false) },
			func(k *clienttest.Control) { k.Flush(1, true) },
		},
		"silence": {func(k *clienttest.Control) { k.Mute(true) }, func(k *clienttest.Control) { k.Mute(false) }},
	} {
		t.Run(name, func(t *testing.T) {
			servers, controls, c := nearby(t, 1)
			servers[0].Set("hot", []byte("v"))
			servers[0].Grant("hot", 60000)
			warm(t, c, "hot")
			row.lose(controls[0])
			eventually(t, "nobody is heard", func() bool { return c.L1().Origins == 0 })
			for range 20 {
				if item := must[client.Item](t)(c.Get(ctx, "hot")); item.FromL1 {
					t.Fatal("answered from L1")
				}
			}
			row.regain(controls[0])
			warm(t, c, "hot")
		})
	}
	t.Run("break", func(t *testing.T) {
		servers, controls, c := nearby(t, 1)
		servers[0].Set("hot", []byte("v"))
		servers[0].Grant("hot", 60000)
		warm(t, c, "hot")
		controls[0].Break()
		eventually(t, "the break is noticed", func() bool { return c.Counters().StreamsBroken == 1 })
		eventually(t, "it listens again", func() bool { return controls[0].Subscribers() == 1 && c.L1().Origins == 1 })
		if c.L1().Problem == nil {
			t.Error("nobody is told why")
		}
		if item := must[client.Item](t)(c.Get(ctx, "hot")); item.FromL1 {
			t.Error("a copy outlived its stream")
		}
		warm(t, c, "hot")
	})
}

// TestL1FlushOfAnotherOrigin leaves the others' copies alone.
func TestL1FlushOfAnotherOrigin(t *testing.T) {
	servers, controls, c := nearby(t, 2)
	r := clienttest.NewRing(t, 1, servers...)
	keys := []string{keysLedBy(r, servers, servers[0], 1)[0], keysLedBy(r, servers, servers[1], 1)[0]}
	for i, key := range keys {
		servers[i].Set(key, []byte("v"))
		servers[i].Grant(key, 60000)
		warm(t, c, key)
	}
	flushes := c.Counters().Flushes
	controls[0].Flush(2, false) // whichever stream says it
	eventually(t, "heard", func() bool { return c.Counters().Flushes > flushes })
	if item := must[client.Item](t)(c.Get(ctx, keys[0])); !item.FromL1 {
		t.Error("a copy of another node's item was dropped")
	}
	if item := must[client.Item](t)(c.Get(ctx, keys[1])); item.FromL1 {
		t.Error("a copy was not flushed")
	}
}

func TestL1EndsWithTheGrantAndTheRing(t *testing.T) {
	servers, _, c := nearby(t, 2)
	r := clienttest.NewRing(t, 1, servers...)
	keys := keysLedBy(r, servers, servers[0], 2)
	key := keys[0]
	servers[0].Set(key, []byte("v"))
	servers[0].Grant(key, 1)
	for range 20 {
		must[client.Item](t)(c.Get(ctx, key))
		time.Sleep(time.Millisecond) // the grant's length
		if item := must[client.Item](t)(c.Get(ctx, key)); item.FromL1 {
			t.Fatal("kept for longer than granted")
		}
	}
	key = keys[1]
	servers[0].Set(key, []byte("v"))
	servers[0].Grant(key, 60000)
	warm(t, c, key)
	next := clienttest.NewRing(t, 2, servers...)
	clienttest.Publish(t, next, servers...)
	_ = second(c.Get(ctx, "absent")) // its reply names the new epoch
	eventually(t, "the new ring is there", func() bool {
		return second(c.Get(ctx, "absent")) != nil && c.Epoch() == 2
	})
	if item := must[client.Item](t)(c.Get(ctx, key)); item.FromL1 {
		t.Fatal("a copy of the former epoch is still there")
	}
	warm(t, c, key)
}

// TestL1IsBounded, however much is granted.
func TestL1IsBounded(t *testing.T) {
	s := clienttest.New(t, clienttest.Config{})
	clienttest.NewControl(t, s)
	clienttest.Publish(t, clienttest.NewRing(t, 1, s), s)
	const bytes = 64 << 10
	c := open(t, s, client.WithL1(bytes, 5*time.Second))
	_ = second(c.Get(ctx, "any"))
	eventually(t, "heard", func() bool { return c.L1().Origins == 1 })
	for i := range 200 {
		key := fmt.Sprint(i)
		s.Set(key, make([]byte, 1000))
		s.Grant(key, 5000)
		for range 6 {
			must[client.Item](t)(c.Get(ctx, key))
		}
		if got := c.L1().Bytes; got > bytes+2000 {
			t.Fatalf("%d bytes, allowed are %d", got, bytes)
		}
	}
	if c.L1().Copies == 0 {
		t.Error("nothing was kept")
	}
	s.Set("large", make([]byte, 10_000))
	s.Grant("large", 5000)
	for range 20 {
		if item := must[client.Item](t)(c.Get(ctx, "large")); item.FromL1 {
			t.Fatal("one item takes a large part of the memory")
		}
	}
}

func TestL1HitAllocatesNothing(t *testing.T) {
	servers, _, c := nearby(t, 1)
	servers[0].Set("hot", make([]byte, 100))
	servers[0].Grant("hot", 5000)
	warm(t, c, "hot")
	dst := make([]byte, 0, 128)
	allocs := testing.AllocsPerRun(1000, func() {
		if item, err := c.GetInto(ctx, "hot", dst); err != nil || !item.FromL1 {
			t.Fatal(item.FromL1, err)
		}
	})
	if allocs != 0 && !raceDetector {
		t.Errorf("%v allocations per read", allocs)
	}
}

func TestWithL1WantsSense(t *testing.T) {
	for _, opt := range []client.Option{client.WithL1(1, time.Second), client.WithL1(1<<20, time.Minute), client.WithL1(1<<20, 0)} {
		if _, err := client.Open([]string{"127.0.0.1:1"}, opt); !errors.Is(err, client.ErrBadRequest) {
			t.Error(err)
		}
	}
}
