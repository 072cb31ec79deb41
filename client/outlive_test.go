package client_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gannet/client"
	"gannet/client/clienttest"
)

// anyCall is a call of each kind.
var anyCall = map[string]func(context.Context, *client.Client) error{
	"get":  func(ctx context.Context, c *client.Client) error { _, err := c.Get(ctx, "k"); return err },
	"long": func(ctx context.Context, c *client.Client) error { _, err := c.Get(ctx, "long"); return err },
	"lease": func(ctx context.Context, c *client.Client) error {
		_, err := c.Get(ctx, "m", client.TakeLease())
		return err
	},
	"into": func(ctx context.Context, c *client.Client) error { _, err := c.GetInto(ctx, "k", nil); return err },
	"multi": func(ctx context.Context, c *client.Client) error {
		_, err := c.GetMulti(ctx, []string{"k", "long", "m"})
		return err
	},
	"put": func(ctx context.Context, c *client.Client) error { _, err := c.Put(ctx, "k", []byte("v")); return err },
	"upload": func(ctx context.Context, c *client.Client) error {
		_, err := c.Put(ctx, "long", make([]byte, 50_000))
		return err
	},
	"add": func(ctx context.Context, c *client.Client) error { _, err := c.Add(ctx, "k", []byte("v")); return err },
	"replace": func(ctx context.Context, c *client.Client) error {
		_, err := c.Replace(ctx, "k", []byte("v"))
		return err
	},
	"swap": func(ctx context.Context, c *client.Client) error {
		_, err := c.CompareAndSwap(ctx, "k", []byte("v"), 1)
		return err
	},
	"incr": func(ctx context.Context, c *client.Client) error { _, err := c.Incr(ctx, "n", 1); return err },
	"touch": func(ctx context.Context, c *client.Client) error {
		_, err := c.Touch(ctx, "k", time.Second)
		return err
	},
	"delete": func(ctx context.Context, c *client.Client) error { return c.Delete(ctx, "k") },
	"ping":   func(ctx context.Context, c *client.Client) error { _, err := c.Ping(ctx); return err },
	"limits": func(ctx context.Context, c *client.Client) error { _, err := c.Limits(ctx); return err },
	"stats":  func(ctx context.Context, c *client.Client) error { _, err := c.Stats(ctx); return err },
	"load": func(ctx context.Context, c *client.Client) error {
		_, err := c.GetOrLoad(ctx, "m", func(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
		return err
	},
}

// TestNoCallOutlivesItsContext: whatever is lost on the way, a call ends with its
// context, although the client itself would wait for an hour, and says that it did.
func TestNoCallOutlivesItsContext(t *testing.T) {
	const never = 20 * time.Second // for a call that does not end
	s := clienttest.New(t, clienttest.Config{Shards: 2})
	s.Set("n", []byte("1"))
	rapid.Check(t, func(rt *rapid.T) {
		c, err := client.Open([]string{s.Addr()}, client.WithTimeout(time.Hour), client.WithRetransmit(time.Millisecond, 5*time.Millisecond))
		if err != nil {
			rt.Fatal(err)
		}
		defer c.Close()
		s.Set("k", []byte("v"))
		s.Set("long", make([]byte, 30_000))
		share := rapid.SampledFrom([]float64{0, 0.5, 0.95, 1})
		s.SetFaults(clienttest.Faults{
			Seed: rapid.Uint64().Draw(rt, "seed"), LoseRequests: share.Draw(rt, "requests lost"), LoseReplies: share.Draw(rt, "replies lost"),
			Repeat: share.Draw(rt, "repeated"),
		})
		name := rapid.SampledFrom(slices.Sorted(maps.Keys(anyCall))).Draw(rt, "call")
		lasts := time.Duration(rapid.IntRange(-1, 20).Draw(rt, "ms")) * time.Millisecond
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		if rapid.Bool().Draw(rt, "deadline") {
			ctx, cancel = context.WithTimeout(ctx, lasts)
			defer cancel()
		} else {
			time.AfterFunc(lasts, cancel)
		}
		done := make(chan error, 1)
		go func() { done <- anyCall[name](ctx, c) }()
		<-ctx.Done()
		select {
		case err := <-done:
			if errors.Is(err, client.ErrTimeout) && !errors.Is(err, ctx.Err()) {
				rt.Errorf("%s ended with its context, and says %v", name, err)
			}
		case <-time.After(never):
			rt.Fatalf("%s still waits %v after its context", name, never)
		}
	})
}
