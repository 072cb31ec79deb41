package main

import (
	"context"
	"fmt"
	"time"

	"gannet/test/cluster/bed"
)

const (
	gossipSplit     = 60 * time.Second // longer than members that are gone are remembered
	gossipFullSplit = 5 * time.Minute
	gossipHealsGoal = 30.0 // seconds
	gossipOtherPort = 9752
)

// checkGossip splits the gossip of a cluster for long, lets it heal, and starts a
// node again on another port.
func checkGossip(ctx context.Context, e *env) error {
	b, err := bed.New(ctx, bed.Config{Bin: e.bin, Log: e.log})
	if err != nil {
		return err
	}
	defer b.Close()
	n := b.Nodes()
	if err := gossipSees(ctx, b, 2, 2, 2); err != nil {
		return err
	}
	before, err := b.Ring(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := n[0].CutGossip(n[1:]...); err != nil {
		return err
	}
	if err := gossipSees(ctx, b, 0, 1, 1); err != nil {
		return fmt.Errorf("the split never was: %w", err)
	}
	noticed := time.Since(began)
	split := gossipSplit
	if e.full {
		split = gossipFullSplit
	}
	pause(ctx, time.Until(began.Add(split)))
	after, err := b.Ring(ctx)
	if err != nil {
		return err
	}
	began = time.Now()
	if err := n[0].Heal(); err != nil {
		return err
	}
	if err := gossipSees(ctx, b, 2, 2, 2); err != nil {
		return err
	}
	e.table.AtMost("gossip_heals", time.Since(began).Seconds(), gossipHealsGoal, 1, "s",
		fmt.Sprintf("until every node hears of all again, after %v of split, which all had noticed after %.1f s", split, noticed.Seconds()))
	e.table.AtMost("gossip_heals", float64(after.Epoch()-before.Epoch()), 0, 1, "epochs",
		"changes of the ring during the split: that gossip is silent is no evidence")
	return otherGossipPort(ctx, e, b, n[2])
}

// otherGossipPort kills a node and starts it again with its gossip elsewhere.
func otherGossipPort(ctx context.Context, e *env, b *bed.Bed, n *bed.Node) error {
	if err := n.Kill(); err != nil {
		return err
	}
	if err := n.Start(ctx, fmt.Sprintf("--gossip-port=%d", gossipOtherPort)); err != nil {
		return err
	}
	began := time.Now()
	// What the others send it must arrive at the new port.
	_, err := within(ctx, time.Minute, "it hears from the others", func() (bool, error) {
		members, err := n.Metric(ctx, "gannet_gossip_members")
		if err != nil || members != 2 {
			return false, err
		}
		heard, err := n.Metric(ctx, "gannet_gossip_received_total", "kind=replication")
		return heard > 0, err
	})
	if err != nil {
		return err
	}
	e.table.Report("gossip_heals", time.Since(began).Seconds(), 1, "s",
		"from when a node that was killed runs again, with another gossip port, until the others' messages reach it there")
	return nil
}

// gossipSees waits until each node hears of so many others.
func gossipSees(ctx context.Context, b *bed.Bed, others ...float64) error {
	_, err := within(ctx, 2*time.Minute, fmt.Sprintf("gossip members are %v", others), func() (bool, error) {
		for i, n := range b.Nodes() {
			if got, err := n.Metric(ctx, "gannet_gossip_members"); err != nil || got != others[i] {
				return false, err
			}
		}
		return true, nil
	})
	return err
}
