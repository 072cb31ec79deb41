package main

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"gannet/client"
	"gannet/client/clienttest"
	"gannet/security/mtls"
)

// TestL1OverMutualTLS: a client with a certificate of the cluster's authority hears of
// writes; one without, or with another's, keeps nothing and says why.
func TestL1OverMutualTLS(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	for _, at := range []string{dir, other} {
		err := mtls.DevCA(at, mtls.DevOptions{NodeNames: []string{"node-1"}, Hosts: []string{"127.0.0.1"}, ValidFor: time.Hour, Now: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
	}
	addr, hub := startControlPort(t, openStore(t, dir, "node-1"))
	ctx, cancel := context.WithCancel(context.Background())
	start := time.Now()
	var running sync.WaitGroup
	running.Go(func() { _ = hub.Run(ctx, func() int64 { return int64(time.Since(start)) + 1 }) })
	defer running.Wait()
	defer cancel()
	node := clienttest.New(t, clienttest.Config{NodeID: 1})
	node.SetControl(netip.MustParseAddrPort(addr))
	clienttest.Publish(t, clienttest.NewRing(t, 1, node), node)
	node.Set("hot", []byte("value"))
	node.Grant("hot", 60000)
	for name, with := range map[string]struct {
		options []client.Option
		problem string // empty: it listens
	}{
		"its certificate":      {options: []client.Option{client.WithControl(openStore(t, dir, "client"))}},
		"no certificate":       {problem: "invalidations of"},
		"another's":            {options: []client.Option{client.WithControl(openStore(t, other, "client"))}, problem: "authority"},
		"a node's certificate": {options: []client.Option{client.WithControl(openStore(t, dir, "node-1"))}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := client.Open([]string{node.Addr()}, append(with.options, client.WithL1(1<<20, 5*time.Second), client.WithTimeout(time.Minute))...)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
				item, err := c.Get(ctx, "hot")
				if err != nil {
					t.Fatal(err)
				}
				state := c.L1()
				if with.problem == "" && item.FromL1 || with.problem != "" && state.Problem != nil && strings.Contains(state.Problem.Error(), with.problem) {
					return
				}
				if item.FromL1 || time.Now().After(deadline) {
					t.Fatalf("from L1 %t; %+v", item.FromL1, state)
				}
			}
		})
	}
}

func openStore(t *testing.T, dir, holder string) *mtls.Store {
	t.Helper()
	store, err := mtls.Open(mtls.DevFiles(dir, holder), mtls.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return store
}
