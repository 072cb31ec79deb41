package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"gannet/client"
	"gannet/test/cluster/bed"
)

const (
	hotZipf       = 1.2
	hotClients    = 4
	hotWorkers    = 32  // of all clients
	hotValueBytes = 100 // no shard has it answered in the kernel: see WithoutPadding
	hotShards     = 2   // of a node
	hotL1Bytes    = 1 << 20
)

// checkHotShard reads Zipf-distributed keys at one rate without and with L1.
func checkHotShard(ctx context.Context, e *env) error {
	return e.inBed(ctx, "hot", map[string]func(word){
		"hot_shard_drop": func(w word) { e.table.AtLeast(w.Key, w.X, 5, w.N, "× lower", w.Note) },
	})
}

// hotTry is one of the two ways to read.
type hotTry struct {
	load    float64 // GETs of the busiest shard
	reads   int64
	misses  int64
	l1Bytes uint64 // at most, of one client
	hits    uint64
	origins int // that the client covered least
}

func measureHotShard(ctx context.Context, j job, b *boss) error {
	keys, rate, lasts := 200_000, 20_000, 8*time.Second
	if j.Full {
		keys, lasts = 1_000_000, 30*time.Second
	}
	cfg := bed.Config{Shards: hotShards, Memory: 512 << 20, Datapath: "udp"} // where a link has one queue, as here
	return withBed(ctx, j, cfg, func(cluster *bed.Bed) error {
		err := withClients(ctx, cluster, 1, func(c []*client.Client) error {
			return putAll(ctx, c[0], keys, hotKey, make([]byte, hotValueBytes))
		})
		if err != nil {
			return err
		}
		without, err := readHot(ctx, cluster, keys, rate, lasts)
		if err != nil {
			return err
		}
		with, err := readHot(ctx, cluster, keys, rate, lasts, client.WithL1(hotL1Bytes, 5*time.Second))
		if err != nil {
			return err
		}
		return judgeHotShard(b, keys, without, with)
	})
}

func judgeHotShard(b *boss, keys int, without, with hotTry) error {
	switch {
	case with.l1Bytes > hotL1Bytes:
		return fmt.Errorf("a client holds %d bytes in L1, and was told to hold %d at most", with.l1Bytes, hotL1Bytes)
	case without.misses+with.misses > (without.reads+with.reads)/100:
		return fmt.Errorf("%d and %d misses: the data set is not all there", without.misses, with.misses)
	case with.origins < 3:
		return fmt.Errorf("a client heard of the writes of %d nodes only", with.origins)
	}
	// Both ran at one rate; a read of the slower one counts accordingly.
	ratio := without.load / float64(without.reads) / (with.load / float64(with.reads))
	b.figure("hot_shard_drop", ratio, without.reads+with.reads,
		"Zipf %.1f over %d keys; busiest of %d shards %.1f %% of all reads without L1, %.1f %% with; %.0f %% of reads from L1, which took %d of %d bytes a client",
		hotZipf, keys, 3*hotShards, 100*without.load/float64(without.reads), 100*with.load/float64(with.reads),
		100*float64(with.hits)/float64(with.reads), with.l1Bytes, hotL1Bytes)
	return nil
}

func hotKey(i int) string { return fmt.Sprintf("hot-%07d", i) }

// readHot reads at a rate, warms up first, and counts what came to the shards.
func readHot(ctx context.Context, cluster *bed.Bed, keys, rate int, lasts time.Duration, opts ...client.Option) (t hotTry, err error) {
	err = withClients(ctx, cluster, hotClients, func(clients []*client.Client) error {
		if err := t.read(ctx, clients, keys, rate, 4*time.Second); err != nil { // the warm-up
			return err
		}
		before, err := getsOf(ctx, cluster, hotShards)
		if err != nil {
			return err
		}
		t = hotTry{}
		hits := l1Hits(clients)
		if err := t.read(ctx, clients, keys, rate, lasts); err != nil {
			return err
		}
		after, err := getsOf(ctx, cluster, hotShards)
		t.load, t.hits, t.origins = busiest(since(before, after)), l1Hits(clients)-hits, 3
		for _, c := range clients {
			t.origins = min(t.origins, c.L1().Origins)
		}
		return err
	}, append(opts, client.WithoutPadding())...)
	return t, err
}

func l1Hits(clients []*client.Client) (n uint64) {
	for _, c := range clients {
		n += c.Counters().L1Hits
	}
	return n
}

// read is the load. What L1 holds is looked at meanwhile.
func (t *hotTry) read(ctx context.Context, clients []*client.Client, keys, rate int, lasts time.Duration) error {
	var reads, misses atomic.Int64
	var most atomic.Uint64
	zipfs := make([]*rand.Zipf, hotWorkers)
	buffers := make([][]byte, hotWorkers)
	err := pace(ctx, rate, hotWorkers, lasts, func(w int, random *rand.Rand) error {
		if zipfs[w] == nil {
			zipfs[w], buffers[w] = rand.NewZipf(random, hotZipf, 1, uint64(keys-1)), make([]byte, hotValueBytes)
		}
		c := clients[w%len(clients)]
		_, err := c.GetInto(ctx, hotKey(int(zipfs[w].Uint64())), buffers[w])
		if reads.Add(1)%512 == 0 {
			most.Store(max(most.Load(), c.L1().Bytes))
		}
		if errors.Is(err, client.ErrMiss) || errors.Is(err, client.ErrTimeout) {
			misses.Add(1)
			err = nil
		}
		return err
	})
	t.reads, t.misses, t.l1Bytes = reads.Load(), misses.Load(), most.Load()
	return err
}
