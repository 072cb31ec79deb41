package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"gannet/wire"
)

const (
	// leaseWaitLeast is the shortest wait for another client's load.
	leaseWaitLeast = time.Millisecond
	// refreshPause is how long this process leaves a stale key alone that another one
	// refreshes.
	refreshPause = 50 * time.Millisecond
	// giveBackWait bounds the attempt to give a lease back.
	giveBackWait = 100 * time.Millisecond
)

// errLoadPanicked is what those who wait for a load get whose function never returned.
var errLoadPanicked = errors.New("the load function did not return")

// GetOrLoad returns the item stored under key. If there is none, it has load bring the
// value from where it really lives, and puts it. However many ask for a missing key at
// once, in this process and in others, one of them loads, and the others wait for it:
// a node hands the right to load a key, the lease, to one client at a time. When that
// one dies, its lease lapses after 2 s, and the next one's load runs.
//
// The options are those of the Put. With WithSoftTTL the item is stale after that
// time: GetOrLoad returns it as it is, and at most one client loads it anew in the
// background. Nobody waits for that.
//
// A value that was loaded is returned even when it cannot be stored; Item.NotStored
// says why. If a delete or a newer write overtook the load, it is ErrLeaseRefused, and
// nothing is stored: the value may be older than that write. When the cache cannot be
// asked at all, GetOrLoad loads too, once at a time in this process.
//
// An error of load is returned to all who waited for it in this process. The lease is
// given back then, so that the next client tries at once, one at a time; it is left to
// lapse when the load ended because its callers had given up, so that a slow source is
// asked at most every 2 s.
//
// load gets a context of its own, which ends when all who wait for it have given up,
// or with Close; in the background only with Close. It must return then: Close waits
// for it.
func (c *Client) GetOrLoad(ctx context.Context, key string, load func(context.Context) ([]byte, error), opts ...WriteOption) (Item, error) {
	var o writeOptions
	for _, opt := range opts {
		opt(&o)
	}
	if err := o.checkLoad(); err != nil {
		return Item{}, c.opError("get or load", key, err)
	}
	// The first question does not ask for a lease: hits, nearly all there is, may come
	// from anywhere then, and no caller of a crowd holds a lease that it may not use.
	item, err := c.get(ctx, key, nil, nil)
	switch {
	case err == nil && !item.Stale:
		return item, nil
	case err == nil:
		c.refreshLater(ctx, key, load, opts)
		return item, nil
	case errors.Is(err, ErrBadRequest), errors.Is(err, ErrClosed), ctx.Err() != nil:
		return Item{}, err
	}
	item, joined, err := c.flights.board(ctx, key, func(ctx context.Context) (Item, error) {
		return c.fill(ctx, key, load, opts)
	})
	if joined {
		item.Value = slices.Clone(item.Value) // each caller's own
	}
	return item, c.opError("get or load", key, err)
}

func (o *writeOptions) checkLoad() error {
	if o.lease != 0 {
		return fmt.Errorf("%w: GetOrLoad takes its leases itself", ErrBadRequest)
	}
	_, _, err := o.wireTTLs()
	return err
}

// wantsLease asks for the lease, and so the key's leader.
var wantsLease = getOptions{lease: true}

// fill gets a key that missed: with a lease, by waiting for whoever holds it, or past
// the cache.
func (c *Client) fill(ctx context.Context, key string, load func(context.Context) ([]byte, error), opts []WriteOption) (Item, error) {
	for {
		item, err := c.get(ctx, key, nil, &wantsLease)
		switch {
		case err == nil && item.Lease != 0:
			return c.loadStale(ctx, key, item, load, opts), nil
		case err == nil:
			return item, nil
		case errors.Is(err, ErrMiss) && item.Lease != 0:
			return c.loadAndPut(ctx, key, item.Lease, load, opts)
		case errors.Is(err, ErrLeaseWait):
			c.counters.loadWaits.Add(1)
			if !sleep(ctx, jitter(item.Wait)) {
				return Item{}, ctx.Err()
			}
		case errors.Is(err, ErrClosed), errors.Is(err, ErrBadRequest), ctx.Err() != nil:
			return Item{}, err
		default:
			return c.loadPast(ctx, err, load)
		}
	}
}

// loadStale uses the lease of an item that had become stale since it missed. Somebody
// waits; it gets the fresh value, or the stale one if there is none to be had.
func (c *Client) loadStale(ctx context.Context, key string, stale Item, load func(context.Context) ([]byte, error), opts []WriteOption) Item {
	c.counters.loads.Add(1)
	value, err := load(ctx)
	if err != nil {
		return stale
	}
	return c.putLoaded(ctx, key, stale.Lease, value, opts)
}

// loadAndPut uses the lease of a key that missed.
func (c *Client) loadAndPut(ctx context.Context, key string, lease Lease, load func(context.Context) ([]byte, error), opts []WriteOption) (Item, error) {
	c.counters.loads.Add(1)
	value, err := load(ctx)
	if err != nil {
		if ctx.Err() == nil {
			c.giveBack(ctx, key)
		}
		return Item{}, err
	}
	return c.putLoaded(ctx, key, lease, value, opts), nil
}

// loadPast loads when the cache cannot be asked, and why. Nothing is put: without a
// lease the value might replace a newer one.
func (c *Client) loadPast(ctx context.Context, why error, load func(context.Context) ([]byte, error)) (Item, error) {
	c.counters.loads.Add(1)
	value, err := load(ctx)
	if err != nil {
		return Item{}, err
	}
	return Item{Value: value, TTL: NoTTL, Loaded: true, NotStored: why}, nil
}

// putLoaded stores a loaded value under its lease, if it still may.
func (c *Client) putLoaded(ctx context.Context, key string, lease Lease, value []byte, opts []WriteOption) Item {
	var o writeOptions
	for _, opt := range opts {
		opt(&o)
	}
	item := Item{Value: value, TTL: NoTTL, Loaded: true}
	if o.ttl > 0 {
		item.TTL = (o.ttl + time.Second - 1).Truncate(time.Second)
	}
	item.Version, item.NotStored = c.store(ctx, "put", wire.Put, key, value, 0, append(slices.Clip(opts), WithLease(lease)))
	return item
}

// giveBack ends the lease of a key that could not be loaded, by deleting what is not
// there: a lease has no other end but a write. Should somebody have put the key
// meanwhile, that is lost, as an item may be at any time.
func (c *Client) giveBack(ctx context.Context, key string) {
	ctx, cancel := context.WithTimeout(ctx, giveBackWait)
	defer cancel()
	_ = c.Delete(ctx, key) // else the lease lapses
}

// refreshLater has a stale key loaded anew in the background, by this client if it
// gets the lease.
func (c *Client) refreshLater(ctx context.Context, key string, load func(context.Context) ([]byte, error), opts []WriteOption) {
	begun := c.flights.refresh(ctx, key, func(ctx context.Context) (Item, error) {
		item, err := c.get(ctx, key, nil, &wantsLease)
		switch {
		case err == nil && item.Lease != 0:
			c.counters.refreshes.Add(1)
			return c.loadStale(ctx, key, item, load, opts), nil
		case err == nil && item.Stale:
			sleep(ctx, jitter(refreshPause)) // another client does it: ask no more for a moment
			return item, nil
		case errors.Is(err, ErrMiss) && item.Lease != 0:
			return c.loadAndPut(ctx, key, item.Lease, load, opts)
		}
		return item, err
	})
	if !begun {
		c.counters.refreshLost.Add(1)
	}
}

// jitter spreads a wait over half of its length to all of it, so that those who began
// together do not ask together, and nobody asks later than told: the wait that a node
// names ends with the lease at the latest.
func jitter(d time.Duration) time.Duration {
	d = max(d, leaseWaitLeast)
	return d/2 + rand.N(d/2)
}

// sleep waits; false when the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
