package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"gannet/client"
	"gannet/ring"
	"gannet/test/cluster/bed"
)

// inBed starts a job that builds a cluster of its own, and files the figures that it
// says, one for each of these rows, as they are judged.
func (e *env) inBed(ctx context.Context, kind string, judge map[string]func(w word)) error {
	h, err := hire(here, job{Kind: kind, Bin: e.bin, Full: e.full})
	if err != nil {
		return err
	}
	for range judge {
		w, err := h.await(ctx, "figure")
		if err != nil {
			return errors.Join(err, h.dismiss())
		}
		judge[w.Key](w)
	}
	return h.dismiss()
}

// figure tells the starting process what came out.
func (b *boss) figure(id string, value float64, n int64, format string, args ...any) {
	b.say(word{Says: "figure", Key: id, X: value, N: n, Note: fmt.Sprintf(format, args...)})
}

// withBed runs measure on a cluster of three nodes. It is for jobs: the process goes on
// in the client's namespace.
func withBed(ctx context.Context, j job, cfg bed.Config, measure func(*bed.Bed) error) (err error) {
	bed.Enter()
	cfg.Bin = j.Bin
	if os.Getenv("VERBOSE") == "1" {
		cfg.Log = os.Stderr
	}
	b, err := bed.New(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return measure(b)
}

// withClients opens clients of a bed and closes them after use.
func withClients(ctx context.Context, b *bed.Bed, n int, use func([]*client.Client) error, opts ...client.Option) error {
	var all []*client.Client
	defer func() {
		for _, c := range all {
			_ = c.Close()
		}
	}()
	for range n {
		c, err := b.Client(ctx, opts...)
		if err != nil {
			return err
		}
		all = append(all, c)
	}
	return use(all)
}

// putAll stores a value under keys from 0 to n, many at once.
func putAll(ctx context.Context, c *client.Client, n int, key func(int) string, value []byte) error {
	const workers = 64
	var all sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		all.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				errs[w] = persist(ctx, func() error {
					_, err := c.Put(ctx, key(i), value)
					return err
				})
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// persist tries again what a busy machine made late.
func persist(ctx context.Context, do func() error) (err error) {
	for range 20 {
		if err = do(); err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// getsOf is how many GETs each shard of each node has executed, "NODE/SHARD".
func getsOf(ctx context.Context, b *bed.Bed, shards int) (map[string]float64, error) {
	gets := map[string]float64{}
	for _, n := range b.Nodes() {
		for shard := range shards {
			v, err := n.Metric(ctx, "gannet_operations_total", "operation=get", "shard="+strconv.Itoa(shard))
			if err != nil {
				return nil, err
			}
			gets[n.Name+"/"+strconv.Itoa(shard)] = v
		}
	}
	return gets, nil
}

// since is by how much each has grown.
func since(before, after map[string]float64) map[string]float64 {
	grown := map[string]float64{}
	for at, v := range after {
		grown[at] = v - before[at]
	}
	return grown
}

func busiest(of map[string]float64) (most float64) {
	for _, v := range of {
		most = max(most, v)
	}
	return most
}

// namesOf are the names of the nodes that hold a key, the leader first.
func namesOf(r *ring.Ring, hash uint64) (names []string) {
	for _, m := range r.Replicas(hash, nil) {
		names = append(names, m.Name)
	}
	return names
}

// pace calls do so many times a second, spread over workers, until the time is over or
// one fails. A worker that is late catches up.
func pace(ctx context.Context, rate, workers int, lasts time.Duration, do func(worker int, random *rand.Rand) error) error {
	begun := time.Now()
	each := time.Duration(workers) * time.Second / time.Duration(rate)
	var all sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 7))
			for at := each * time.Duration(w) / time.Duration(workers); at < lasts && ctx.Err() == nil; at += each {
				if wait := at - time.Since(begun); wait > time.Millisecond {
					time.Sleep(wait)
				}
				if errs[w] = do(w, random); errs[w] != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

// quantile is of unsorted durations.
func quantile(of []time.Duration, q float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	return of[min(int(q*float64(len(of))), len(of)-1)]
}
