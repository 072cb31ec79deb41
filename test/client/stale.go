package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gannet/client"
	"gannet/test/lab"
)

// overtaking is one way in which a fill comes too late: what happens between the lease
// and the Put with it. Each must make the Put be refused, and leave what it did.
type overtaking struct {
	name  string
	begin func(ctx context.Context, c *client.Client, key string) error // before the lease, nil: nothing
	write func(ctx context.Context, c *client.Client, key string) error
	after string // the value there must be then; empty: none
}

var overtakings = []overtaking{
	{name: "delete", write: deleteMissing},
	{name: "put", write: putNewer, after: "newer"},
	{name: "add", write: addNewer, after: "newer"},
	{name: "put, delete", write: chain(putNewer, deleteThere)},
	{name: "delete, put", write: chain(deleteMissing, putNewer), after: "newer"},
	{name: "put that is gone again", write: putBriefly},
	{name: "another fill after a delete", write: chain(deleteMissing, fillAnew), after: "newer"},
	{name: "stale, delete", begin: putStale, write: deleteThere},
	{name: "stale, put", begin: putStale, write: putNewer, after: "newer"},
	{name: "stale, compare and swap", begin: putStale, write: swapNewer, after: "newer"},
	{name: "stale, long put", begin: putStale, write: putLong, after: long},
}

type step = func(ctx context.Context, c *client.Client, key string) error

func chain(steps ...step) step {
	return func(ctx context.Context, c *client.Client, key string) error {
		for _, s := range steps {
			if err := s(ctx, c, key); err != nil {
				return err
			}
		}
		return nil
	}
}

// long takes several datagrams.
var long = string(make([]byte, 5000))

func deleteMissing(ctx context.Context, c *client.Client, key string) error {
	if err := c.Delete(ctx, key); !errors.Is(err, client.ErrNotFound) {
		return fmt.Errorf("delete of a missing key: %v", err)
	}
	return nil
}

func deleteThere(ctx context.Context, c *client.Client, key string) error {
	return c.Delete(ctx, key)
}

func putNewer(ctx context.Context, c *client.Client, key string) error {
	_, err := c.Put(ctx, key, []byte("newer"))
	return err
}

func putLong(ctx context.Context, c *client.Client, key string) error {
	_, err := c.Put(ctx, key, []byte(long))
	return err
}

func addNewer(ctx context.Context, c *client.Client, key string) error {
	_, err := c.Add(ctx, key, []byte("newer"))
	return err
}

func swapNewer(ctx context.Context, c *client.Client, key string) error {
	item, err := c.Get(ctx, key)
	if err == nil {
		_, err = c.CompareAndSwap(ctx, key, []byte("newer"), item.Version)
	}
	return err
}

// putBriefly puts what expires before the fill comes.
func putBriefly(ctx context.Context, c *client.Client, key string) error {
	if _, err := c.Put(ctx, key, []byte("newer"), client.WithTTL(time.Second)); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		_, err := c.Get(ctx, key)
		return errors.Is(err, client.ErrMiss), nil
	})
}

// fillAnew is a second reader that gets a lease of its own, and uses it.
func fillAnew(ctx context.Context, c *client.Client, key string) error {
	item, err := c.Get(ctx, key, client.TakeLease())
	if !errors.Is(err, client.ErrMiss) || item.Lease == 0 {
		return fmt.Errorf("the second reader got no lease: %v", err)
	}
	_, err = c.Put(ctx, key, []byte("newer"), client.WithLease(item.Lease))
	return err
}

// putStale puts an item and waits until its soft TTL is over.
func putStale(ctx context.Context, c *client.Client, key string) error {
	if _, err := c.Put(ctx, key, []byte("old"), client.WithSoftTTL(time.Second), client.WithTTL(time.Hour)); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		item, err := c.Get(ctx, key, client.MetadataOnly())
		return item.Stale, err
	})
}

// until asks again and again, until something holds.
func until(ctx context.Context, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := holds(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tally counts fills that were overtaken, and those of them that were refused as they
// should be.
type tally struct {
	overtaken, refused int64
	wrong              []string
}

func (t *tally) count(name string, err error) {
	t.overtaken++
	if err == nil {
		t.refused++
	} else {
		t.wrong = append(t.wrong, fmt.Sprintf("%s: %v", name, err))
	}
}

func (t *tally) add(other tally) {
	t.overtaken, t.refused = t.overtaken+other.overtaken, t.refused+other.refused
	t.wrong = append(t.wrong, other.wrong...)
}

// errSchedule says that a script did not come about as written: nothing is shown.
var errSchedule = errors.New("the schedule did not hold")

// play is one overtaken fill, played by hand: filler gets the lease, writer overtakes
// it, filler puts. The error is nil when that was refused and what the writer did
// stands.
func (o overtaking) play(ctx context.Context, filler, writer *client.Client, key string) error {
	if o.begin != nil {
		if err := o.begin(ctx, writer, key); err != nil {
			return fmt.Errorf("%w: %w", errSchedule, err)
		}
	}
	item, err := filler.Get(ctx, key, client.TakeLease())
	if item.Lease == 0 {
		return fmt.Errorf("%w: no lease (%v)", errSchedule, err)
	}
	if err := o.write(ctx, writer, key); err != nil {
		return fmt.Errorf("%w: %w", errSchedule, err)
	}
	if _, err = filler.Put(ctx, key, []byte("overtaken"), client.WithLease(item.Lease)); !errors.Is(err, client.ErrLeaseRefused) {
		return fmt.Errorf("the fill ended with %v", err)
	}
	return o.stands(ctx, writer, key)
}

// load is the same by way of GetOrLoad, for a key that misses: the source is read, and
// overtaken before the value is back.
func (o overtaking) load(ctx context.Context, filler, writer *client.Client, key string) error {
	var written error
	item, err := filler.GetOrLoad(ctx, key, func(ctx context.Context) ([]byte, error) {
		written = o.write(ctx, writer, key)
		return []byte("overtaken"), nil
	})
	switch {
	case written != nil:
		return fmt.Errorf("%w: %w", errSchedule, written)
	case err != nil || !item.Loaded:
		return fmt.Errorf("%w: loaded: %v, %v", errSchedule, item.Loaded, err)
	case !errors.Is(item.NotStored, client.ErrLeaseRefused):
		return fmt.Errorf("the fill ended with %v", item.NotStored)
	}
	return o.stands(ctx, writer, key)
}

// stands says whether the key has what the writer left.
func (o overtaking) stands(ctx context.Context, c *client.Client, key string) error {
	item, err := c.Get(ctx, key)
	switch {
	case o.after == "" && errors.Is(err, client.ErrMiss):
		return nil
	case err != nil:
		return fmt.Errorf("refused, but then the key has: %w", err)
	case o.after == "" || string(item.Value) != o.after:
		return fmt.Errorf("refused, but then the key has %.20q", item.Value)
	}
	return nil
}

// fillInTime is the counter-check: what nobody overtakes is stored.
func fillInTime(ctx context.Context, filler, reader *client.Client, key string) error {
	item, err := filler.GetOrLoad(ctx, key, func(context.Context) ([]byte, error) { return []byte("loaded"), nil })
	if err != nil || item.NotStored != nil {
		return fmt.Errorf("%w: a fill in time: %w", errSchedule, errors.Join(err, item.NotStored))
	}
	if item, err = reader.Get(ctx, key); err != nil || string(item.Value) != "loaded" {
		return fmt.Errorf("%w: after a fill in time: %.20q, %v", errSchedule, item.Value, err)
	}
	return nil
}

// checkStaleSets plays all ways of overtaking a fill on one node, and those across a
// change of leader in a cluster.
func checkStaleSets(ctx context.Context, e *env) error {
	var t tally
	err := e.withNode(ctx, leaseFlags(), func(start starter, _ *lab.Node) error {
		rounds := 20
		if e.full {
			rounds = 500
		}
		h, err := hire(start, job{Kind: "script", Servers: servers, Rounds: rounds})
		if err != nil {
			return err
		}
		w, err := h.await(ctx, "played")
		if err == nil {
			t.add(tally{w.Of, w.N, w.List})
			if w.Note != "" {
				err = errors.New(w.Note)
			}
		}
		return errors.Join(err, h.dismiss())
	})
	if err != nil {
		return err
	}
	one := t.overtaken
	across, err := e.staleSetsAcross(ctx)
	if err != nil {
		return err
	}
	t.add(across)
	note := fmt.Sprintf("%d on one node in %d ways, %d across a change of leader", one, len(overtakings), across.overtaken)
	if len(t.wrong) > 0 {
		note += "; first not refused: " + t.wrong[0]
	}
	e.table.AtLeast("stale_set_refused", float64(t.refused)/float64(t.overtaken), 1, t.overtaken, "share of overtaken fills", note)
	return nil
}

// scriptStaleSets is the job of the single node's part.
func scriptStaleSets(ctx context.Context, j job, b *boss) error {
	filler, err := client.Open(j.Servers)
	if err != nil {
		return err
	}
	defer filler.Close()
	writer, err := client.Open(j.Servers)
	if err != nil {
		return err
	}
	defer writer.Close()
	var t tally
	var schedule error
	type ended struct {
		name string
		err  error
	}
	ends := make(chan ended)
	plays := 0
	play := func(name string, f func() error) {
		plays++
		go func() { ends <- ended{name, f()} }()
	}
	for round := range j.Rounds {
		for i, o := range overtakings {
			key := fmt.Sprintf("stale:%d:%d", round, i)
			play(o.name, func() error { return o.play(ctx, filler, writer, key) })
			if o.begin == nil {
				play(o.name+", GetOrLoad", func() error { return o.load(ctx, filler, writer, key+":load") })
			}
		}
		if err := fillInTime(ctx, filler, writer, fmt.Sprintf("stale:%d:in-time", round)); err != nil {
			schedule = err
		}
	}
	for range plays {
		end := <-ends
		if errors.Is(end.err, errSchedule) {
			schedule = fmt.Errorf("%s: %w", end.name, end.err)
			continue
		}
		t.count(end.name, end.err)
	}
	w := word{Says: "played", N: t.refused, Of: t.overtaken, List: t.wrong}
	if schedule != nil {
		w.Note = schedule.Error()
	}
	b.say(w)
	return nil
}
