package openloop

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"gannet/wire"
)

// Run offers the load and returns what became of it.
func Run(ctx context.Context, o Options) (*Result, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	generators, err := o.generators(ctx)
	defer func() {
		for _, g := range generators {
			g.socket.close()
		}
	}()
	if err != nil {
		return nil, fmt.Errorf("open loop: %w", err)
	}
	var wg sync.WaitGroup
	start := time.Now()
	for _, g := range generators {
		wg.Go(func() { g.run(start) })
	}
	wg.Wait()
	return sum(generators)
}

// generators opens the sockets: so many to each shard, each with its share of the
// rate in proportion to the keys of its shard.
func (o *Options) generators(ctx context.Context) ([]*generator, error) {
	first, err := connect(ctx, o.Server)
	if err != nil {
		return nil, err
	}
	first.close()
	shards := int(first.hello.Shards)
	var all []*generator
	for shard, targets := range o.targets(shards) {
		if len(targets) == 0 {
			continue
		}
		to := netip.AddrPortFrom(o.Server.Addr(), first.hello.BasePort+uint16(shard))
		share := o.Rate * float64(len(targets)) / float64(o.Keys) / float64(o.Sockets)
		for range o.Sockets {
			s, err := connect(ctx, to)
			if err != nil {
				return all, err
			}
			all = append(all, newGenerator(s, uint16(shard), targets, o, share, o.Seed+uint64(len(all))))
		}
	}
	return all, nil
}

// targets sorts the keys by shard.
func (o *Options) targets(shards int) [][]target {
	out := make([][]target, shards)
	for n := range o.Keys {
		var t target
		Key(t.key[:0], n)
		t.hash = wire.KeyHash(t.key[:])
		shard := wire.ShardOf(t.hash, shards)
		out[shard] = append(out[shard], t)
	}
	return out
}

func sum(generators []*generator) (*Result, error) {
	var out Result
	hits := hdrhistogram.New(1, int64(time.Minute), 3)
	for _, g := range generators {
		if g.err != nil {
			return nil, fmt.Errorf("open loop: %w", g.err)
		}
		out.add(&g.result)
		out.Seconds = max(out.Seconds, g.result.Seconds)
		hits.Merge(g.hits)
	}
	out.Lost = out.Sent - out.Good - out.Late - out.Shed - out.Missed - out.Failed
	out.Offered = float64(out.Sent) / out.Seconds
	out.Goodput = float64(out.Good) / out.Seconds
	out.P50Micros = float64(hits.ValueAtQuantile(50)) / 1000
	out.P99Micros = float64(hits.ValueAtQuantile(99)) / 1000
	return &out, nil
}
