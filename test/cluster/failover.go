package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"gannet/client"
	"gannet/ring"
	"gannet/test/cluster/bed"
	"gannet/test/cluster/load"
)

// The load under which nodes fail.
const (
	loadRate   = 10_500 // a margin over what a run must reach
	loadLeast  = 10_000
	loadKeys   = 20_000
	lagBound   = 50 * time.Millisecond // an unmarked acknowledgement may be lost that young
	writeShare = 0.1
)

// errVoid is a run that shows nothing.
var errVoid = errors.New("void")

// withCluster runs measure against three real nodes and a client of theirs, filled.
func (e *env) withCluster(ctx context.Context, cfg bed.Config, measure func(*bed.Bed, *client.Client) error) (err error) {
	cfg.Bin, cfg.Log = e.bin, e.log
	b, err := bed.New(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	c, err := b.Client(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := load.Fill(ctx, c, loadConfig(0)); err != nil {
		return err
	}
	return measure(b, c)
}

func loadConfig(seed uint64) load.Config {
	return load.Config{Rate: loadRate, Keys: loadKeys, WriteShare: writeShare, DeleteShare: 0.1, Seed: seed}
}

// trial is one fault under load, seen by the client.
type trial struct {
	victim    *bed.Node
	groups    *load.Ranges
	affected  []int // groups that the victim led
	history   *load.History
	begin     int64 // when the load began
	fault     int64 // when it came
	end       int64 // when the load ended
	sightings []sighting
}

// during runs fault against a node under load: it calls now at the moment that counts,
// and returns when the load may end.
func during(ctx context.Context, b *bed.Bed, c *client.Client, victim *bed.Node, seed uint64, fault func(now func()) error) (*trial, error) {
	r, err := b.Ring(ctx)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(r.Members(), func(m ring.Member) bool { return m.Name == victim.Name })
	if at < 0 || r.Members()[at].State != ring.Active {
		return nil, fmt.Errorf("%s is not active before the fault", victim.Name)
	}
	t := &trial{victim: victim, groups: load.RangesOf(r, loadKeys)}
	t.affected = t.groups.Led(r.Members()[at].ID)
	l := load.Start(ctx, c, loadConfig(seed))
	watch := watchRing(ctx, b, victim, r.Epoch(), l.Now)
	t.begin = l.Now()
	err = errors.Join(sleep(ctx, time.Second), fault(func() { t.fault = l.Now() }))
	t.end = l.Now()
	t.history = l.Stop()
	t.sightings = watch.end()
	switch rate := t.history.Rate(t.begin, t.end); {
	case err != nil:
		return nil, err
	case t.fault == 0:
		return nil, fmt.Errorf("%w: the fault never came", errVoid)
	case rate < loadLeast:
		return nil, fmt.Errorf("%w: %.0f operations a second of %d", errVoid, rate, loadLeast)
	}
	return t, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// losses are the lost writes that the promise covers, and those that it does not: not
// marked, and older than the bound when the leader gave its last acknowledgement.
func (t *trial) losses() (covered, broken []load.Lost) {
	died := t.history.LastOld(t.groups, t.affected, t.fault)
	for _, l := range t.history.LostWrites() {
		if l.Degraded || died-l.AckedNanos < int64(lagBound) && l.AckedNanos <= died {
			covered = append(covered, l)
		} else {
			broken = append(broken, l)
		}
	}
	return covered, broken
}

// sighting is a ring that a node other than the victim showed, and when.
type sighting struct {
	nanos int64
	epoch uint32
	state ring.State // of the victim; 0: none
	whole bool       // every member is active
}

// ringWatch waits at a node's control port for each new ring.
type ringWatch struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	seen   []sighting
}

// watchRing watches at another node than the victim.
func watchRing(ctx context.Context, b *bed.Bed, victim *bed.Node, epoch uint32, now func() int64) *ringWatch {
	ctx, cancel := context.WithCancel(ctx)
	w := &ringWatch{cancel: cancel}
	nodes := b.Nodes()
	witness := nodes[(slices.Index(nodes, victim)+1)%len(nodes)]
	w.done.Go(func() {
		for ctx.Err() == nil {
			r, err := pollRing(ctx, b, witness, epoch)
			if err != nil || r == nil {
				_ = sleep(ctx, 10*time.Millisecond)
				continue
			}
			epoch = r.Epoch()
			s := sighting{nanos: now(), epoch: epoch, whole: true}
			for _, m := range r.Members() {
				if m.Name == victim.Name {
					s.state = m.State
				}
				s.whole = s.whole && m.State == ring.Active
			}
			w.seen = append(w.seen, s)
		}
	})
	return w
}

func pollRing(ctx context.Context, b *bed.Bed, n *bed.Node, after uint32) (*ring.Ring, error) {
	c, err := b.Control(n, "client")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Ring(ctx, &after)
}

func (w *ringWatch) end() []sighting {
	w.cancel()
	w.done.Wait()
	return w.seen
}

// downAfter is how long after the fault a ring without the victim was seen; false: none.
func (t *trial) downAfter() (time.Duration, bool) {
	for _, s := range t.sightings {
		if s.nanos >= t.fault && s.state != ring.Active {
			return time.Duration(s.nanos - t.fault), true
		}
	}
	return 0, false
}

// back is how long after the fault all ranges of the victim were written again; false:
// not within the run.
func (t *trial) back() (time.Duration, bool) {
	return t.history.Back(t.groups, t.affected, t.fault)
}

func (t *trial) say(what string) {
	back, ok := t.back()
	down, seen := t.downAfter()
	covered, broken := t.losses()
	h := t.history
	acked, degraded := h.Acknowledged(t.begin, t.end)
	fmt.Fprintf(os.Stderr, "   %s %s: %.0f op/s, failed reads %d, down %v (%v), writes back %v (%v), gap %v, lost %d and %d beyond the bound, degraded %d of %d, stale acks %d, stale reads %d, wrong %d\n",
		what, t.victim.Name, h.Rate(t.begin, t.end), h.FailedReads(0, t.end), down.Round(time.Millisecond), seen,
		back.Round(time.Millisecond), ok, h.Gap(t.groups, t.affected, t.fault, t.end).Round(time.Millisecond), len(covered), len(broken), degraded, acked,
		h.StaleAcks(t.groups), h.StaleReads(), h.Wrong())
	for _, l := range broken[:min(3, len(broken))] {
		fmt.Fprintf(os.Stderr, "      lost: %s, version %v, acknowledged %v after the fault, delete: %v; what happened to the key:\n", load.Key(l.Key), l.Version, time.Duration(l.AckedNanos-t.fault), l.Delete)
		for _, r := range h.Of(l.Key) {
			if r.Done >= l.AckedNanos-int64(time.Second) && r.Due <= l.Read.Done+int64(time.Second) {
				fmt.Fprintf(os.Stderr, "        %v %v: %v\n", time.Duration(r.Due-t.fault).Round(time.Microsecond), time.Duration(r.Done-r.Due).Round(time.Microsecond), r)
			}
		}
		if os.Getenv("VERBOSE") == "1" {
			for _, r := range h.Of(l.Key) {
				fmt.Fprintf(os.Stderr, "         %v to %v: %+v\n", time.Duration(r.Due-t.fault), time.Duration(r.Done-t.fault), *r)
			}
		}
	}
	for _, text := range h.FirstErrors(3) {
		fmt.Fprintf(os.Stderr, "      %s\n", text)
	}
}

// revive starts a node again, on a network that works, and waits until it is active.
func revive(ctx context.Context, b *bed.Bed, n *bed.Node) error {
	if err := n.Heal(); err != nil {
		return err
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	return b.AwaitActive(ctx, n)
}
