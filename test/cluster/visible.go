package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"gannet/client"
	"gannet/ring"
	"gannet/test/cluster/bed"
	"gannet/test/cluster/load"
	"gannet/wire"
)

// measureVisible writes through a client, and asks the key's follower itself until the
// write is there: from the acknowledgement to then.
func measureVisible(ctx context.Context, e *env) (err error) {
	samples := 400
	if e.full {
		samples = 5000
	}
	b, err := bed.New(ctx, bed.Config{Bin: e.bin, Log: e.log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	v, err := newVisibility(ctx, b)
	if err != nil {
		return err
	}
	defer v.close()
	idle, err := v.sample(ctx, samples)
	if err != nil {
		return err
	}
	rate, busy, err := v.underLoad(ctx, b, samples)
	if err != nil {
		return err
	}
	for _, q := range []struct {
		name string
		q    float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		note := fmt.Sprintf("%s from the acknowledgement to the follower's answer, under %.0f requests/s, 10 %% writes of 1 KB; without load %.2f ms",
			q.name, rate, inMillis(quantileOf(idle, q.q)))
		e.table.Report("visible_ms", inMillis(quantileOf(busy, q.q)), int64(len(busy)), "ms", note)
	}
	return nil
}

// underLoad samples while a load runs.
func (v *visibility) underLoad(ctx context.Context, b *bed.Bed, samples int) (rate float64, took []time.Duration, err error) {
	c, err := b.Client(ctx)
	if err != nil {
		return 0, nil, err
	}
	defer c.Close()
	cfg := load.Config{Rate: loadRate, WriteShare: writeShare}
	if err := load.Fill(ctx, c, cfg); err != nil {
		return 0, nil, err
	}
	l := load.Start(ctx, c, cfg)
	from := l.Now()
	took, err = v.sample(ctx, samples)
	to := l.Now()
	h := l.Stop()
	if err != nil {
		return 0, nil, err
	}
	if rate = h.Rate(from, to); rate < loadLeast {
		return rate, took, fmt.Errorf("only %.0f requests/s were sent, %d are wanted", rate, loadLeast)
	}
	return rate, took, nil
}

// visibility is a client and an asker for each node.
type visibility struct {
	client *client.Client
	ring   *ring.Ring
	askers map[uint64]*asker // by member
	acked  atomic.Uint64     // version
}

func newVisibility(ctx context.Context, b *bed.Bed) (*visibility, error) {
	r, err := b.Ring(ctx)
	if err != nil {
		return nil, err
	}
	v := &visibility{ring: r, askers: map[uint64]*asker{}}
	if v.client, err = b.Client(ctx); err != nil {
		return nil, err
	}
	v.client.OnWrite(func(a client.Ack) { v.acked.Store(uint64(a.Version)) })
	for _, m := range r.Members() {
		if v.askers[m.ID], err = newAsker(b.Node(m.Name)); err != nil {
			return nil, errors.Join(err, v.close())
		}
	}
	return v, nil
}

func (v *visibility) close() error {
	for _, a := range v.askers {
		if a != nil {
			a.close()
		}
	}
	return v.client.Close()
}

// visibleLongest is how long a write may take before something is wrong.
const visibleLongest = 5 * time.Second

// sample writes some keys, one after the other.
func (v *visibility) sample(ctx context.Context, samples int) ([]time.Duration, error) {
	took := make([]time.Duration, 0, samples)
	for i := range samples {
		key := "visible:" + strconv.Itoa(i%1000)
		d, err := v.one(ctx, key, i)
		if err != nil {
			return nil, fmt.Errorf("write %d of %s: %w", i, key, err)
		}
		took = append(took, d)
	}
	slices.Sort(took)
	return took, nil
}

func (v *visibility) one(ctx context.Context, key string, i int) (time.Duration, error) {
	follower := v.follower(key)
	if follower == nil {
		return 0, errors.New("the key has no follower")
	}
	value := []byte(strconv.Itoa(i))
	if _, err := v.client.Put(ctx, key, value); err != nil {
		return 0, err
	}
	acked, version := time.Now(), wire.Version(v.acked.Load())
	for {
		answer, err := follower.get(key, version, v.client.Epoch())
		since := time.Since(acked)
		switch {
		case err != nil && !errors.Is(err, errAskerSilent):
			return 0, err
		case err == nil && answer.Status == wire.StatusOK && answer.Version >= version:
			return since, nil
		case since > visibleLongest:
			return 0, fmt.Errorf("not there after %v: status %v, version %v of %v, %w", since, answer.Status, answer.Version, version, err)
		}
	}
}

// follower asks who follows the key's leader.
func (v *visibility) follower(key string) *asker {
	var room [4]*ring.Member
	if replicas := v.ring.Replicas(keyHash(key), room[:0]); len(replicas) > 1 {
		return v.askers[replicas[1].ID]
	}
	return nil
}

// quantileOf is of sorted durations.
func quantileOf(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func inMillis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
