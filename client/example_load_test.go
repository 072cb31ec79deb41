package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"gannet/client"
)

// A service that reads users: the cache in front of the database takes these lines.
func ExampleClient_GetOrLoad() {
	node := exampleNode()
	defer node.Close()
	c, err := client.Open([]string{node.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	queries := 0
	load := func(context.Context) ([]byte, error) {
		queries++ // SELECT name FROM users WHERE id = 42
		return []byte("Ada"), nil
	}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if _, err := c.GetOrLoad(context.Background(), "user:42", load, client.WithSoftTTL(time.Minute), client.WithTTL(time.Hour)); err != nil {
				log.Print(err)
			}
		})
	}
	wg.Wait()
	item, err := c.GetOrLoad(context.Background(), "user:42", load)
	fmt.Printf("%s, %d query, %v\n", item.Value, queries, err)
	// Output: Ada, 1 query, <nil>
}

// A value that a write has overtaken while it was loaded is returned, marked, and not
// stored.
func ExampleClient_GetOrLoad_overtaken() {
	node := exampleNode()
	defer node.Close()
	c, err := client.Open([]string{node.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	item, err := c.GetOrLoad(ctx, "user:42", func(context.Context) ([]byte, error) {
		// Meanwhile somebody changes the user, and then deletes the key.
		_ = c.Delete(ctx, "user:42")
		return []byte("Ada"), nil
	})
	fmt.Printf("%s refused=%v %v\n", item.Value, errors.Is(item.NotStored, client.ErrLeaseRefused), err)
	_, err = c.Get(ctx, "user:42")
	fmt.Println("in the cache:", !errors.Is(err, client.ErrMiss))
	// Output:
	// Ada refused=true <nil>
	// in the cache: false
}

// Leases by hand, for a service that loads many keys with one query.
func ExampleTakeLease() {
	node := exampleNode()
	defer node.Close()
	c, err := client.Open([]string{node.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	item, err := c.Get(ctx, "user:42", client.TakeLease())
	switch {
	case errors.Is(err, client.ErrMiss) && item.Lease != 0:
		_, err = c.Put(ctx, "user:42", []byte("Ada"), client.WithLease(item.Lease))
		fmt.Println("loaded:", err)
	case errors.Is(err, client.ErrLeaseWait):
		fmt.Println("somebody else loads; ask again in", item.Wait)
	}
	// Output: loaded: <nil>
}

// Add stores only what is not there: the first of several wins.
func ExampleClient_Add() {
	node := exampleNode()
	defer node.Close()
	c, err := client.Open([]string{node.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		_, err := c.Add(context.Background(), "job:7", []byte("mine"), client.WithTTL(time.Minute))
		fmt.Println("taken before:", errors.Is(err, client.ErrExists))
	}
	// Output:
	// taken before: false
	// taken before: true
}

// Replace stores only over what is there, and Touch gives it a new TTL.
func ExampleClient_Replace() {
	node := exampleNode()
	defer node.Close()
	c, err := client.Open([]string{node.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	_, err = c.Replace(ctx, "session:1", []byte("late"))
	fmt.Println("gone:", errors.Is(err, client.ErrNotFound))
	if _, err := c.Put(ctx, "session:1", []byte("first"), client.WithTTL(time.Minute)); err != nil {
		log.Fatal(err)
	}
	if _, err := c.Touch(ctx, "session:1", time.Hour); err != nil {
		log.Fatal(err)
	}
	item, err := c.Get(ctx, "session:1")
	fmt.Printf("%s for %v, %v\n", item.Value, item.TTL, err)
	// Output:
	// gone: true
	// first for 1h0m0s, <nil>
}

// Incr counts without a read before.
func ExampleClient_Incr() {
	node := exampleNode()
	defer node.Close()
	c, err := client.Open([]string{node.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	if _, err := c.Add(ctx, "visits", []byte("0")); err != nil {
		log.Fatal(err)
	}
	for range 3 {
		n, err := c.Incr(ctx, "visits", 2)
		fmt.Println(n, err)
	}
	// Output:
	// 2 <nil>
	// 4 <nil>
	// 6 <nil>
}

// AtLeast keeps a reader from seeing an older item than one it has seen, whichever
// replica answers.
func ExampleAtLeast() {
	node := exampleNode()
	defer node.Close()
	c, err := client.Open([]string{node.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	seen, err := c.Put(ctx, "k", []byte("new"))
	if err != nil {
		log.Fatal(err)
	}
	item, err := c.Get(ctx, "k", client.AtLeast(seen))
	fmt.Printf("%s %v\n", item.Value, err)
	// Output: new <nil>
}

// With an L1 the hottest items are answered out of the client's own memory. It listens
// to the control ports of the ring's members, here without TLS.
func ExampleWithL1() {
	node := exampleNode()
	defer node.Close()
	c, err := client.Open([]string{node.Addr()}, client.WithL1(64<<20, 2*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Println(c.L1().Copies)
	// Output: 0
}
