package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gannet/client"
	"gannet/test/cluster/bed"
	"gannet/wire"
)

const (
	spreadKeys       = 64
	spreadClients    = 4
	spreadWorkers    = 16 // closed loops
	spreadValueBytes = 1000
	// spreadLeastGets is a second what makes the shards' load more than idle.
	spreadLeastGets = 10_000
)

// checkSpread reads keys of one range, all led by one node, as fast as it goes.
func checkSpread(ctx context.Context, e *env) error {
	return e.inBed(ctx, "spread", map[string]func(word){
		"bounded_load": func(w word) { e.table.AtMost(w.Key, w.X, 1.25, w.N, "× the mean", w.Note) },
	})
}

func measureSpread(ctx context.Context, j job, b *boss) error {
	lasts := 6 * time.Second
	if j.Full {
		lasts = 60 * time.Second
	}
	return withBed(ctx, j, bed.Config{Flags: []string{"--replicas=3"}}, func(cluster *bed.Bed) error {
		r, err := cluster.Ring(ctx)
		if err != nil {
			return err
		}
		keys, holders := keysTogether(func(key string) []string { return namesOf(r, wire.KeyHash([]byte(key))) })
		return withClients(ctx, cluster, spreadClients, func(clients []*client.Client) error {
			err := putAll(ctx, clients[0], len(keys), func(i int) string { return keys[i] }, make([]byte, spreadValueBytes))
			if err != nil {
				return err
			}
			return spreadReads(ctx, cluster, b, clients, keys, holders, lasts)
		}, client.WithoutPadding()) // the kernel's answers are no load of a shard
	})
}

// keysTogether finds keys that the same nodes hold in the same order.
func keysTogether(holders func(string) []string) (keys, names []string) {
	groups := map[string][]string{}
	for i := 0; ; i++ {
		key := fmt.Sprintf("spread-%d", i)
		names := holders(key)
		group := strings.Join(names, " ")
		if groups[group] = append(groups[group], key); len(groups[group]) == spreadKeys {
			return groups[group], names
		}
	}
}

func spreadReads(ctx context.Context, cluster *bed.Bed, b *boss, clients []*client.Client, keys, holders []string, lasts time.Duration) error {
	if err := readAll(ctx, clients, keys, 3*time.Second); err != nil { // until it has settled
		return err
	}
	before, err := getsOf(ctx, cluster, 1)
	if err != nil {
		return err
	}
	hedged, avoided := asides(clients)
	if err := readAll(ctx, clients, keys, lasts); err != nil {
		return err
	}
	hedgedAfter, avoidedAfter := asides(clients)
	after, err := getsOf(ctx, cluster, 1)
	if err != nil {
		return err
	}
	gets := since(before, after)
	sum, most, note := 0.0, 0.0, ""
	for _, name := range holders {
		n := gets[name+"/0"]
		sum, most = sum+n, max(most, n)
		note += fmt.Sprintf("%s %.0f, ", name, n)
	}
	others := 0.0
	for _, n := range gets {
		others += n
	}
	if rate := sum / lasts.Seconds(); rate < spreadLeastGets {
		return fmt.Errorf("%.0f GETs a second are too few to make anybody busy", rate)
	}
	mean := sum / float64(len(holders))
	b.figure("bounded_load", most/mean, int64(sum), "GETs of %d keys of one range by replica, the leader first: %s%.0f elsewhere; %d reads were sent to a second one, which was quicker or not, %d went around an open breaker",
		len(keys), note, others-sum, hedgedAfter-hedged, avoidedAfter-avoided)
	return nil
}

// asides are reads that went to other replicas than load would have them go to.
func asides(clients []*client.Client) (hedged, avoided uint64) {
	for _, c := range clients {
		n := c.Counters()
		hedged, avoided = hedged+n.Hedged, avoided+n.Avoided
	}
	return hedged, avoided
}

// readAll has closed loops read the keys for a time.
func readAll(ctx context.Context, clients []*client.Client, keys []string, lasts time.Duration) error {
	end := time.Now().Add(lasts) // the context has no deadline: the last reads would miss it
	var failed atomic.Int64
	var last atomic.Pointer[error]
	var all sync.WaitGroup
	for w := range spreadWorkers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 3))
			buffer := make([]byte, spreadValueBytes)
			for time.Now().Before(end) && ctx.Err() == nil {
				_, err := clients[w%len(clients)].GetInto(ctx, keys[random.IntN(len(keys))], buffer)
				if err != nil {
					failed.Add(1)
					last.Store(&err)
				}
			}
		})
	}
	all.Wait()
	if n := failed.Load(); n > 100 {
		return fmt.Errorf("%d reads failed, the last: %w", n, *last.Load())
	}
	return nil
}
