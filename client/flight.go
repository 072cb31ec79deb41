package client

import (
	"context"
	"sync"
)

// flights are the loads under way, one for each key at most: whoever asks for a key
// that is being loaded waits for the same load.
//
// golang.org/x/sync/singleflight does not fit: its call goes on when all who wait for
// it have given up, and ends with whichever context came first. A flight's context
// belongs to all of them: it ends with the last, or with the client.
type flights struct {
	client *Client
	slots  chan struct{} // held by refreshes

	mu     sync.Mutex
	byKey  map[string]*flight // guarded by mu
	closed bool               // guarded by mu
	ended  sync.WaitGroup     // of those that have begun; added to under mu
}

// flight is one load. item and err do not change once landed is closed.
type flight struct {
	landed  chan struct{}
	cancel  context.CancelFunc
	waiting int // guarded by flights.mu
	item    Item
	err     error
}

func (f *flights) init(c *Client) {
	f.client, f.byKey = c, map[string]*flight{}
	f.slots = make(chan struct{}, c.settings.refreshers)
}

// end stops all flights and waits for them.
func (f *flights) end() {
	f.mu.Lock()
	f.closed = true
	for _, flight := range f.byKey {
		flight.cancel()
	}
	f.mu.Unlock()
	f.ended.Wait()
}

// board joins the flight of a key, or begins it, and waits until it lands or ctx ends.
// joined says that another caller had begun it.
func (f *flights) board(ctx context.Context, key string, fly func(context.Context) (Item, error)) (item Item, joined bool, err error) {
	f.mu.Lock()
	flight := f.byKey[key]
	if joined = flight != nil; !joined {
		if flight = f.begin(ctx, key, fly); flight == nil {
			f.mu.Unlock()
			return Item{}, false, ErrClosed
		}
	} else {
		f.client.counters.loadsShared.Add(1)
	}
	flight.waiting++
	f.mu.Unlock()
	select {
	case <-flight.landed:
		return flight.item, joined, flight.err
	case <-ctx.Done():
	case <-f.client.closing:
		ctx = nil
	}
	f.leave(key, flight)
	if ctx == nil {
		return Item{}, joined, ErrClosed
	}
	return Item{}, joined, newTimeout(ctx, ErrTimeout, false)
}

// leave gives up waiting. A flight that nobody waits for is stopped, and a later
// caller begins another.
func (f *flights) leave(key string, flight *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if flight.waiting--; flight.waiting == 0 {
		flight.cancel()
		if f.byKey[key] == flight {
			delete(f.byKey, key)
		}
	}
}

// begin starts a flight. The caller holds mu. The flight keeps the values of its first
// caller's context, for tracing, and neither its deadline nor its cancellation.
func (f *flights) begin(ctx context.Context, key string, fly func(context.Context) (Item, error)) *flight {
	if f.closed {
		return nil
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	flight := &flight{landed: make(chan struct{}), cancel: cancel}
	f.byKey[key] = flight
	f.ended.Add(1)
	go func() {
		defer f.ended.Done()
		defer cancel()
		defer f.land(key, flight)
		flight.err = errLoadPanicked // unless it returns
		flight.item, flight.err = fly(ctx)
	}()
	return flight
}

func (f *flights) land(key string, flight *flight) {
	f.mu.Lock()
	if f.byKey[key] == flight {
		delete(f.byKey, key)
	}
	f.mu.Unlock()
	close(flight.landed)
}

// refresh begins a flight that nobody waits for, unless the key has one already, or
// as many refreshes run as may. False when it did not begin for the latter reason.
func (f *flights) refresh(ctx context.Context, key string, fly func(context.Context) (Item, error)) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byKey[key] != nil || f.closed {
		return true
	}
	select {
	case f.slots <- struct{}{}:
	default:
		return false
	}
	flight := f.begin(ctx, key, func(ctx context.Context) (Item, error) {
		defer func() { <-f.slots }()
		return fly(ctx)
	})
	flight.waiting++ // the refresh itself: it goes on when those who joined have left
	return true
}
