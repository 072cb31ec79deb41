package client_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gannet/client"
	"gannet/client/clienttest"
)

// eventually waits for something that is about to happen.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come to: %s", what)
		}
	}
}

func constant(value string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(value), nil }
}

func never(t testing.TB) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		t.Error("the load function runs")
		return nil, nil
	}
}

func TestGetOrLoadLoadsOnce(t *testing.T) {
	s, c := pair(t, clienttest.Config{})
	item := must[client.Item](t)(c.GetOrLoad(ctx, "k", constant("v"), client.WithTTL(time.Minute)))
	if string(item.Value) != "v" || !item.Loaded || item.NotStored != nil || item.Version == 0 || item.TTL != time.Minute {
		t.Fatalf("loaded: %+v", item)
	}
	if string(s.Value("k")) != "v" {
		t.Fatal("it was not stored")
	}
	item = must[client.Item](t)(c.GetOrLoad(ctx, "k", never(t)))
	if string(item.Value) != "v" || item.Loaded || item.TTL != time.Minute {
		t.Fatalf("found: %+v", item)
	}
}

// TestOneFillAmongManyReaders of several clients, which stand for processes.
func TestOneFillAmongManyReaders(t *testing.T) {
	s := clienttest.New(t, clienttest.Config{})
	const clients, readers = 4, 250
	var loads atomic.Int32
	release := make(chan struct{})
	load := func(context.Context) ([]byte, error) {
		loads.Add(1)
		<-release
		return []byte("v"), nil
	}
	var wg sync.WaitGroup
	var all []*client.Client
	for range clients {
		c := open(t, s)
		all = append(all, c)
		for range readers {
			wg.Go(func() {
				if item, err := c.GetOrLoad(ctx, "k", load); err != nil || string(item.Value) != "v" {
					t.Errorf("%q, %v", item.Value, err)
				}
			})
		}
	}
	eventually(t, "each other client waits for the lease", func() bool {
		waiting := 0
		for _, c := range all {
			if c.Counters().LoadWaits > 0 {
				waiting++
			}
		}
		return waiting == clients-1
	})
	close(release)
	wg.Wait()
	if n := loads.Load(); n != 1 {
		t.Errorf("%d loads, want 1", n)
	}
}

// TestTheNextTakesOver when the lease of a client that died lapses.
func TestTheNextTakesOver(t *testing.T) {
	s := clienttest.New(t, clienttest.Config{})
	dead, alive := open(t, s), open(t, s)
	if item, err := dead.Get(ctx, "k", client.TakeLease()); !errors.Is(err, client.ErrMiss) || item.Lease == 0 {
		t.Fatalf("%+v, %v", item, err)
	}
	dead.Close()
	got := make(chan client.Item, 1)
	go func() { got <- must[client.Item](t)(alive.GetOrLoad(ctx, "k", constant("v"))) }()
	eventually(t, "the other waits", func() bool { return alive.Counters().LoadWaits > 0 })
	s.LapseLeases()
	if item := <-got; string(item.Value) != "v" || !item.Loaded {
		t.Fatalf("%+v", item)
	}
}

// TestOvertakenFillIsRefused: what a delete or a newer put has overtaken is returned,
// marked, and not stored.
func TestOvertakenFillIsRefused(t *testing.T) {
	for name, overtake := range map[string]func(*client.Client) error{
		"delete": func(c *client.Client) error { return c.Delete(ctx, "k") },
		"put":    func(c *client.Client) error { return second(c.Put(ctx, "k", []byte("new"))) },
	} {
		t.Run(name, func(t *testing.T) {
			s, c := pair(t, clienttest.Config{})
			other := open(t, s)
			item := must[client.Item](t)(c.GetOrLoad(ctx, "k", func(context.Context) ([]byte, error) {
				if err := overtake(other); err != nil && !errors.Is(err, client.ErrNotFound) {
					t.Error(err)
				}
				return []byte("old"), nil
			}))
			if string(item.Value) != "old" || !errors.Is(item.NotStored, client.ErrLeaseRefused) {
				t.Fatalf("%+v", item)
			}
			if value := string(s.Value("k")); value == "old" {
				t.Fatal("the overtaken value was stored")
			}
		})
	}
}

// TestNobodyWaitsPastTheSoftTTL: readers get the stale value at once, while one client
// loads in the background.
func TestNobodyWaitsPastTheSoftTTL(t *testing.T) {
	s := clienttest.New(t, clienttest.Config{})
	clients := []*client.Client{open(t, s), open(t, s), open(t, s)}
	var loads atomic.Int32
	for expiry := range 5 {
		old, fresh := fmt.Sprint(expiry), fmt.Sprint(expiry+1)
		s.Set("k", []byte(old))
		s.Stale("k")
		begun, release := make(chan struct{}), make(chan struct{})
		load := func(context.Context) ([]byte, error) {
			loads.Add(1)
			close(begun)
			<-release
			return []byte(fresh), nil
		}
		for range 50 {
			for _, c := range clients {
				item := must[client.Item](t)(c.GetOrLoad(ctx, "k", load, client.WithSoftTTL(time.Second)))
				if string(item.Value) != old || !item.Stale {
					t.Fatalf("%+v", item)
				}
			}
		}
		<-begun
		close(release)
		eventually(t, "the value is fresh", func() bool { return string(s.Value("k")) == fresh })
	}
	if n := loads.Load(); n != 5 {
		t.Errorf("%d loads for 5 expiries", n)
	}
}

// TestLoadErrorGivesTheLeaseBack, but not if the load's callers had given up.
func TestLoadErrorGivesTheLeaseBack(t *testing.T) {
	s, c := pair(t, clienttest.Config{})
	failure := errors.New("no such row")
	fails := func(context.Context) ([]byte, error) { return nil, failure }
	if _, err := c.GetOrLoad(ctx, "k", fails); !errors.Is(err, failure) {
		t.Fatal(err)
	}
	if s.Leased("k") {
		t.Error("others must wait for a load that has failed")
	}
	short, cancel := context.WithCancel(ctx)
	_, err := c.GetOrLoad(short, "k", func(ctx context.Context) ([]byte, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	eventually(t, "the load has ended", func() bool { return c.Counters().Loads == 2 })
	if !s.Leased("k") {
		t.Error("a slow source is asked again at once")
	}
}

// TestAFlightEndsWithItsLastCaller, not with its first.
func TestAFlightEndsWithItsLastCaller(t *testing.T) {
	_, c := pair(t, clienttest.Config{})
	begun, release := make(chan struct{}), make(chan struct{})
	load := func(ctx context.Context) ([]byte, error) {
		close(begun)
		select {
		case <-release:
			return []byte("v"), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	first, cancel := context.WithCancel(ctx)
	gaveUp := make(chan error, 1)
	go func() { gaveUp <- second(c.GetOrLoad(first, "k", load)) }()
	<-begun
	got := make(chan client.Item, 1)
	go func() { got <- must[client.Item](t)(c.GetOrLoad(ctx, "k", never(t))) }()
	eventually(t, "the second has joined", func() bool { return c.Counters().LoadsShared == 1 })
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(release)
	if item := <-got; string(item.Value) != "v" {
		t.Fatalf("%+v", item)
	}
}

func TestLoadWithoutTheCache(t *testing.T) {
	s, c := pair(t, clienttest.Config{}, client.WithTimeout(50*time.Millisecond))
	s.SetFaults(clienttest.Faults{LoseRequests: 1})
	item := must[client.Item](t)(c.GetOrLoad(ctx, "k", constant("v")))
	if string(item.Value) != "v" || !errors.Is(item.NotStored, client.ErrTimeout) {
		t.Fatalf("%+v", item)
	}
}

func TestCloseEndsRefreshes(t *testing.T) {
	s, c := pair(t, clienttest.Config{})
	s.Set("k", []byte("old"))
	s.Stale("k")
	begun := make(chan struct{})
	must[client.Item](t)(c.GetOrLoad(ctx, "k", func(ctx context.Context) ([]byte, error) {
		close(begun)
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	<-begun
	c.Close() // returns, or the test does not end
	if _, err := c.GetOrLoad(ctx, "k", never(t)); !errors.Is(err, client.ErrClosed) {
		t.Fatal(err)
	}
}

func TestRefreshersAreBounded(t *testing.T) {
	s, c := pair(t, clienttest.Config{}, client.WithRefreshers(2))
	release, begun := make(chan struct{}), make(chan struct{}, 8)
	for i := range 5 {
		key := fmt.Sprint(i)
		s.Set(key, nil)
		s.Stale(key)
		must[client.Item](t)(c.GetOrLoad(ctx, key, func(context.Context) ([]byte, error) {
			begun <- struct{}{}
			<-release
			return nil, nil
		}))
	}
	<-begun
	<-begun
	if n := c.Counters(); n.Refreshes != 2 || n.RefreshLost != 3 {
		t.Errorf("%d refreshes, %d lost, want 2 and 3", n.Refreshes, n.RefreshLost)
	}
	close(release)
}

func TestGetOrLoadRefusesALease(t *testing.T) {
	_, c := pair(t, clienttest.Config{})
	if _, err := c.GetOrLoad(ctx, "k", never(t), client.WithLease(1)); !errors.Is(err, client.ErrBadRequest) {
		t.Fatal(err)
	}
}
