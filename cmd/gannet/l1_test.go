package main

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"gannet/client"
	"gannet/client/clienttest"
	"gannet/control/invalidate"
	"gannet/wire"
)

// TestL1HearsTheHub: a client's own copies follow what a real hub tells through a real
// control port, keys that are no text included.
func TestL1HearsTheHub(t *testing.T) {
	addr, hub := startControlPort(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	start := time.Now()
	var running sync.WaitGroup
	running.Go(func() { _ = hub.Run(ctx, func() int64 { return int64(time.Since(start)) + 1 }) })
	defer running.Wait()
	defer cancel()
	node := clienttest.New(t, clienttest.Config{NodeID: 1})
	node.SetControl(netip.MustParseAddrPort(addr))
	clienttest.Publish(t, clienttest.NewRing(t, 1, node), node)
	c, err := client.Open([]string{node.Addr()}, client.WithL1(1<<20, 5*time.Second), client.WithTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	read := func(key string, good func(client.Item) bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			item, err := c.Get(ctx, key)
			if err != nil {
				t.Fatal(err)
			}
			if good(item) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%q stays %+v; L1 %+v", key, item, c.L1())
			}
		}
	}
	for _, key := range []string{"text", "\xff\x00 <none>"} {
		node.Set(key, []byte("old"))
		node.Grant(key, 60000)
		read(key, func(item client.Item) bool { return item.FromL1 })
		version := node.Set(key, []byte("new"))
		hub.Announce(int64(time.Since(start))+1, []invalidate.Write{{Key: []byte(key), Hash: wire.KeyHash([]byte(key)), Version: version, Cached: true}})
		read(key, func(item client.Item) bool { return string(item.Value) == "new" })
	}
}
