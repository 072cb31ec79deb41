package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"gannet/client"
	"gannet/replication"
	"gannet/ring"
	"gannet/test/cluster/bed"
	"gannet/test/cluster/load"
)

const (
	etcdRingKey  = "/gannet/v1/ring"
	etcdServers  = 3
	etcdHold     = 3 * time.Second // one server is away
	etcdBetween  = 2 * time.Second
	etcdAllDown  = 20 * time.Second
	etcdFullDown = 120 * time.Second
)

// checkEtcdDown takes three etcd servers away, one at a time and all at once, under
// load.
func checkEtcdDown(ctx context.Context, e *env) error {
	return e.withCluster(ctx, bed.Config{Etcds: etcdServers}, func(b *bed.Bed, c *client.Client) error {
		pause(ctx, etcdBetween)
		l := load.Start(ctx, c, loadConfig(3))
		from := l.Now()
		faults, err := oneEtcdAway(ctx, b)
		moves := 0
		if err == nil {
			moves, err = noEtcd(ctx, e, b)
			faults++
		}
		pause(ctx, etcdBetween)
		to := l.Now()
		h := l.Stop()
		if err != nil {
			return err
		}
		if rate := h.Rate(from, to); rate < loadLeast {
			return fmt.Errorf("%w: the load was %.0f requests/s, of %d; %d were not sent", errVoid, rate, loadLeast, h.Skipped)
		}
		epochs, err := anotherEpoch(ctx, b)
		if err != nil {
			return err
		}
		reads, writes := h.FailedReads(from, to), h.FailedWrites(from, to)
		e.table.AtMost("etcd_down_errors", float64(reads+writes), 0, int64(faults), "requests", fmt.Sprintf(
			"%d reads and %d writes failed, of %d at %.0f/s, through each of %d servers killed and stopped, and all away for %v; %s",
			reads, writes, h.Ops(from, to), h.Rate(from, to), etcdServers, e.etcdAway(), strings.Join(h.FirstErrors(3), "; ")))
		e.table.AtMost("etcd_down_errors", float64(moves), 0, 1, "epochs", "changes of the ring while all were away")
		e.table.AtMost("etcd_down_errors", float64(repeats(epochs)), 0, int64(len(epochs)), "epochs",
			fmt.Sprintf("epochs in etcd's history that are not beyond the one before: %v", epochs))
		return nil
	})
}

func (e *env) etcdAway() time.Duration {
	if e.full {
		return etcdFullDown
	}
	return etcdAllDown
}

// oneEtcdAway kills and stops each server in turn.
func oneEtcdAway(ctx context.Context, b *bed.Bed) (faults int, err error) {
	for _, server := range b.Etcd() {
		if err := server.Kill(); err != nil {
			return faults, err
		}
		pause(ctx, etcdHold)
		if err := server.Start(ctx); err != nil {
			return faults, err
		}
		pause(ctx, etcdBetween)
		if err := server.Pause(); err != nil {
			return faults, err
		}
		pause(ctx, etcdHold)
		if err := server.Resume(); err != nil {
			return faults, err
		}
		pause(ctx, etcdBetween)
		faults += 2
	}
	return faults, ctx.Err()
}

// noEtcd kills all servers for a while, and counts how often the ring changed meanwhile.
func noEtcd(ctx context.Context, e *env, b *bed.Bed) (moves int, err error) {
	before, err := b.Ring(ctx)
	if err != nil {
		return 0, err
	}
	for _, server := range b.Etcd() {
		if err := server.Kill(); err != nil {
			return 0, err
		}
	}
	last := before.Epoch()
	for began := time.Now(); time.Since(began) < e.etcdAway(); pause(ctx, 200*time.Millisecond) {
		r, err := b.Ring(ctx)
		if err != nil {
			return moves, fmt.Errorf("while etcd is away: %w", err)
		}
		if r.Epoch() != last {
			moves, last = moves+1, r.Epoch()
		}
		if ctx.Err() != nil {
			return moves, ctx.Err()
		}
	}
	if err := etcdSilent(ctx, b); err != nil {
		return moves, err
	}
	for _, server := range b.Etcd() {
		if err := server.Launch(); err != nil {
			return moves, err
		}
	}
	return moves, etcdBack(ctx, b)
}

// etcdSilent fails if etcd answers: then the fault never was.
func etcdSilent(ctx context.Context, b *bed.Bed) error {
	_, err := ringHistory(ctx, b, time.Second)
	if err == nil {
		return errors.New("etcd answers although all its servers were killed")
	}
	return nil
}

func etcdBack(ctx context.Context, b *bed.Bed) error {
	_, err := within(ctx, 30*time.Second, "etcd answers again, and every node knows", func() (bool, error) {
		if _, err := ringHistory(ctx, b, time.Second); err != nil {
			return false, err
		}
		for _, n := range b.Nodes() {
			if connected, err := n.Metric(ctx, "gannet_etcd_connected"); err != nil || connected != 1 {
				return false, err
			}
		}
		return true, nil
	})
	return err
}

// anotherEpoch kills a node and starts it again, which takes etcd, and returns all
// epochs that etcd has seen.
func anotherEpoch(ctx context.Context, b *bed.Bed) ([]uint32, error) {
	victim := b.Nodes()[2]
	if err := victim.Kill(); err != nil {
		return nil, err
	}
	_, err := within(ctx, 30*time.Second, victim.Name+" is down", func() (bool, error) {
		r, err := b.Ring(ctx)
		if err != nil {
			return false, err
		}
		for _, m := range r.Members() {
			if m.Name == victim.Name {
				return m.State == ring.Down, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	if err := victim.Start(ctx); err != nil {
		return nil, err
	}
	if err := b.AwaitActive(ctx, victim); err != nil {
		return nil, err
	}
	return ringHistory(ctx, b, 10*time.Second)
}

// ringHistory reads the epochs of all rings that ever stood in etcd.
func ringHistory(ctx context.Context, b *bed.Bed, longest time.Duration) ([]uint32, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	client, err := b.EtcdClient()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	got, err := client.Get(ctx, etcdRingKey)
	if err != nil {
		return nil, fmt.Errorf("read the ring in etcd: %w", err)
	}
	if len(got.Kvs) != 1 {
		return nil, errors.New("no ring in etcd")
	}
	created, last := got.Kvs[0].CreateRevision, got.Kvs[0].ModRevision
	var epochs []uint32
	for answer := range client.Watch(ctx, etcdRingKey, clientv3.WithRev(created)) {
		if err := answer.Err(); err != nil {
			return nil, fmt.Errorf("etcd's history of the ring: %w", err)
		}
		for _, event := range answer.Events {
			rec, err := replication.DecodeRecord(event.Kv.Value, event.Kv.ModRevision)
			if err != nil {
				return nil, fmt.Errorf("a ring in etcd's history: %w", err)
			}
			epochs = append(epochs, rec.Epoch())
			if event.Kv.ModRevision >= last {
				return epochs, nil
			}
		}
	}
	return nil, fmt.Errorf("etcd's history of the ring ends early: %w", ctx.Err())
}

// repeats counts epochs that are not beyond the one before.
func repeats(epochs []uint32) (n int) {
	for i := 1; i < len(epochs); i++ {
		if epochs[i] <= epochs[i-1] {
			n++
		}
	}
	return n
}
