package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"gannet/client"
	"gannet/client/clienttest"
)

// exampleNode stands for a node that runs somewhere.
func exampleNode() *clienttest.Server {
	node, err := clienttest.Start(clienttest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	return node
}

// The look-aside pattern: ask the cache, and on a miss load and put.
func Example() {
	node := exampleNode()
	defer node.Close()
	c, err := client.Open([]string{node.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	for range 2 {
		item, err := c.Get(ctx, "user:42")
		switch {
		case err == nil:
			fmt.Printf("hit: %s\n", item.Value)
		case errors.Is(err, client.ErrMiss):
			fmt.Println("miss: loading")
			if _, err := c.Put(ctx, "user:42", []byte("Ada"), client.WithTTL(time.Minute)); err != nil {
				log.Print(err) // the cache is an aid: go on with the loaded value
			}
		default:
			log.Print(err)
		}
	}
	// Output:
	// miss: loading
	// hit: Ada
}

// CompareAndSwap changes an item only if nobody else has, so that no change is
// lost.
func ExampleClient_CompareAndSwap() {
	node := exampleNode()
	defer node.Close()
	node.Set("cart", []byte("apple"))
	c, err := client.Open([]string{node.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	for {
		item, err := c.Get(ctx, "cart")
		if err != nil {
			log.Fatal(err)
		}
		_, err = c.CompareAndSwap(ctx, "cart", append(item.Value, ", pear"...), item.Version)
		if !errors.Is(err, client.ErrVersion) {
			break // done, or failed for good
		}
	}
	item, err := c.Get(ctx, "cart")
	fmt.Printf("%s %v\n", item.Value, err)
	// Output: apple, pear <nil>
}

// GetMulti returns what it got, key by key.
func ExampleClient_GetMulti() {
	node := exampleNode()
	defer node.Close()
	node.Set("a", []byte("1"))
	node.Set("c", []byte("3"))
	c, err := client.Open([]string{node.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	keys := []string{"a", "b", "c"}
	results, err := c.GetMulti(context.Background(), keys)
	if err != nil {
		log.Print(err) // some keys have no answer; the others do
	}
	for i, r := range results {
		fmt.Printf("%s: %q miss=%v\n", keys[i], r.Value, errors.Is(r.Err, client.ErrMiss))
	}
	// Output:
	// a: "1" miss=false
	// b: "" miss=true
	// c: "3" miss=false
}

// GetInto reuses the caller's memory and allocates nothing.
func ExampleClient_GetInto() {
	node := exampleNode()
	defer node.Close()
	node.Set("greeting", []byte("hello"))
	c, err := client.Open([]string{node.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 0, 1024)
	item, err := c.GetInto(context.Background(), "greeting", buf)
	fmt.Printf("%s %v\n", item.Value, err)
	// Output: hello <nil>
}
