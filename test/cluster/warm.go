package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"gannet/client"
	"gannet/loadgen/trace"
	"gannet/ring"
	"gannet/test/cluster/bed"
	"gannet/wire"
)

// The OLTP trace, and a cluster that has room for a tenth of its keys: 18,688 of them,
// each of which two of three nodes hold.
const (
	warmTrace      = "arc/OLTP.lis.zst"
	warmCapacity   = 18_688
	warmValueBytes = 1000
	warmWorkers    = 32
	warmWindow     = 2000    // requests a point of the curve
	warmJudged     = 100_000 // requests after the kill
)

// measureWarm replays the same requests twice, once with a leader killed on the way:
// its followers should have what it had.
func measureWarm(ctx context.Context, e *env) error {
	keys, err := e.warmKeys()
	if err != nil {
		return err
	}
	killAt := 200_000
	if e.full {
		killAt = len(keys) / 2
	}
	keys = keys[:killAt+warmJudged]
	steady, err := e.replayWarm(ctx, keys, -1)
	if err != nil {
		return fmt.Errorf("without a kill: %w", err)
	}
	killed, err := e.replayWarm(ctx, keys, killAt)
	if err != nil {
		return fmt.Errorf("with a kill: %w", err)
	}
	if err := drawWarm(filepath.Join(e.outDir, "follower_warm.svg"), steady, killed, killAt); err != nil {
		return err
	}
	with, without := steady.ratio(killAt, len(keys)), killed.ratio(killAt, len(keys))
	note := fmt.Sprintf("hit ratio of the %d GETs after the kill at %d: %.4f, %.4f without the kill; of keys that the dead node led %.4f, %.4f; "+
		"before it %.4f, %.4f without; %d reads and %d writes failed; %.0f items, %.0f without; down after %v",
		warmJudged, killAt, without, with, killed.ratioOf(killAt, len(keys), killed.led), steady.ratioOf(killAt, len(keys), killed.led),
		killed.ratio(killAt-warmJudged, killAt), steady.ratio(killAt-warmJudged, killAt), killed.failedReads.Load(), killed.failedWrites.Load(),
		killed.items, steady.items, killed.down.Round(time.Millisecond))
	e.table.AtMost("follower_warm", 100*(with-without), 2, warmJudged, "points", note)
	return nil
}

// warmKeys reads the keys that the trace asks for.
func (e *env) warmKeys() ([]string, error) {
	r, err := trace.Open(filepath.Join(e.traces, warmTrace), "arc")
	if err != nil {
		return nil, fmt.Errorf("set GANNET_TRACES to the folder of the real traces: %w", err)
	}
	defer r.Close()
	var keys []string
	known := map[string]string{}
	for {
		var request trace.Request
		err := r.Next(&request)
		if errors.Is(err, io.EOF) {
			return keys, nil
		}
		if err != nil {
			return nil, err
		}
		key, ok := known[string(request.Key)]
		if !ok {
			key = string(request.Key)
			known[key] = key
		}
		keys = append(keys, key)
	}
}

// warmRun is one replay.
type warmRun struct {
	keys   []string
	hits   []bool
	led    func(key string) bool // by the node that was killed
	killAt int                   // request before which; negative: never
	down   time.Duration         // after the kill
	items  float64               // on all nodes before that request, or half way
	shared float64               // of items of leaders, what their followers had then

	bed                       *bed.Bed
	client                    *client.Client
	next                      atomic.Int64
	failedReads, failedWrites atomic.Int64
}

// warmMemory is a node's: with it a cluster of three keeps as many keys as it should.
const warmMemory = warmCapacity * 2 / 3 * (warmValueBytes + 130)

func (e *env) replayWarm(ctx context.Context, keys []string, killAt int) (_ *warmRun, err error) {
	b, err := bed.New(ctx, bed.Config{Bin: e.bin, Log: e.log, Memory: warmMemory})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	c, err := b.Client(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	r := &warmRun{keys: keys, hits: make([]bool, len(keys)), killAt: killAt, bed: b, client: c}
	began := time.Now()
	if err := r.replay(ctx); err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "   %d requests in %v, kill at %d: hit ratio %.4f, failed reads %d, writes %d, %.0f items, followers had %.3f\n",
		len(keys), time.Since(began).Round(time.Second), killAt, r.ratio(0, len(keys)), r.failedReads.Load(), r.failedWrites.Load(), r.items, r.shared)
	if r.failedReads.Load()*100 > int64(len(keys)) {
		return nil, fmt.Errorf("%d of %d reads failed", r.failedReads.Load(), len(keys))
	}
	return r, nil
}

// replay has some workers take the requests in turn.
func (r *warmRun) replay(ctx context.Context) error {
	before, err := r.bed.Ring(ctx)
	if err != nil {
		return err
	}
	victim := r.bed.Nodes()[1]
	r.led = func(key string) bool { return before.Owner(keyHash(key)).Name == victim.Name }
	errs := make([]error, warmWorkers)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			value := make([]byte, warmValueBytes)
			for at := int(r.next.Add(1)) - 1; at < len(r.keys) && errs[i] == nil; at = int(r.next.Add(1)) - 1 {
				if at == r.lookAt() {
					errs[i] = r.look(ctx, before)
				}
				if at == r.killAt {
					errs[i] = errors.Join(errs[i], r.kill(ctx, victim))
				}
				r.ask(ctx, at, value)
				errs[i] = errors.Join(errs[i], ctx.Err())
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// ask is what an application does: read, and store what was not there.
func (r *warmRun) ask(ctx context.Context, at int, value []byte) {
	_, err := r.client.GetInto(ctx, r.keys[at], value)
	switch {
	case err == nil:
		r.hits[at] = true
		return
	case !errors.Is(err, client.ErrMiss):
		r.failedReads.Add(1)
		return
	}
	if _, err := r.client.Put(ctx, r.keys[at], value[:warmValueBytes]); err != nil {
		r.failedWrites.Add(1)
	}
}

// kill ends a node, and waits, while the others ask on, until the ring is without it.
func (r *warmRun) kill(ctx context.Context, victim *bed.Node) error {
	began := time.Now()
	if err := victim.Kill(); err != nil {
		return err
	}
	_, err := within(ctx, 10*time.Second, victim.Name+" is down", func() (bool, error) {
		now, err := r.bed.Ring(ctx)
		if err != nil {
			return false, err
		}
		for _, m := range now.Members() {
			if m.Name == victim.Name && m.State == ring.Active {
				return false, nil
			}
		}
		return true, nil
	})
	r.down = time.Since(began)
	return err
}

// lookAt is the request before which items are counted.
func (r *warmRun) lookAt() int {
	if r.killAt >= 0 {
		return r.killAt
	}
	return len(r.keys) / 2
}

const warmSample = 1000

// look counts the items, and looks how many of the last keys that leaders have their
// followers have, too.
func (r *warmRun) look(ctx context.Context, now *ring.Ring) error {
	askers := map[uint64]*asker{}
	for _, n := range r.bed.Nodes() {
		count, err := n.Metric(ctx, "gannet_items")
		if err != nil {
			return err
		}
		r.items += count
	}
	for _, m := range now.Members() {
		a, err := newAsker(r.bed.Node(m.Name))
		if err != nil {
			return err
		}
		defer a.close()
		askers[m.ID] = a
	}
	leaders, both := 0, 0
	for _, key := range r.keys[r.lookAt()-10*warmSample : r.lookAt()-9*warmSample] {
		var room [4]*ring.Member
		replicas := now.Replicas(keyHash(key), room[:0])
		lead, err := askers[replicas[0].ID].get(key, 0, now.Epoch())
		if err != nil || lead.Status != wire.StatusOK {
			continue
		}
		leaders++
		if follow, err := askers[replicas[1].ID].get(key, 0, now.Epoch()); err == nil && follow.Status == wire.StatusOK {
			both++
		}
	}
	r.shared = float64(both) / float64(max(1, leaders))
	return nil
}

// ratio is hits ÷ requests from one to before another.
func (r *warmRun) ratio(from, to int) float64 {
	return r.ratioOf(from, to, func(string) bool { return true })
}

func (r *warmRun) ratioOf(from, to int, of func(key string) bool) float64 {
	hits, all := 0, 0
	for at := from; at < to; at++ {
		if of(r.keys[at]) {
			all++
			if r.hits[at] {
				hits++
			}
		}
	}
	return float64(hits) / float64(max(1, all))
}
