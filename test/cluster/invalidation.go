package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gannet/client"
	"gannet/test/cluster/bed"
	"gannet/wire"
)

const (
	invalidationKeys = 300
	// Within this a subscriber has been told of a gap: see package invalidate.
	flushLongest = 3 * time.Second
	// Gossip that was cut for seconds tries those it lost every ten.
	coveredLongest = 20 * time.Second
	// A subscriber that hears nothing for so long, not even a heartbeat, drops all.
	quietLongest   = time.Second
	idleWatched    = 2 * time.Second
	idleHeartbeats = 5 // in idleWatched, at least
)

// gapLengths are how long gossip to the subscriber's node is cut: too short for the
// origin to count as silent, and longer.
var gapLengths = []time.Duration{300 * time.Millisecond, 700 * time.Millisecond, 3 * time.Second}

// checkInvalidation keeps copies as an L1 would, at a subscription of one node, of
// items that the others lead; it makes the stream lose events, and looks for old copies.
func checkInvalidation(ctx context.Context, e *env) error {
	return e.withCluster(ctx, bed.Config{}, func(b *bed.Bed, c *client.Client) error {
		s, err := subscribe(ctx, e, b, c)
		if err != nil {
			return err
		}
		defer s.close()
		if err := s.delays(ctx, e); err != nil {
			return err
		}
		rounds, events := 2, 0
		if e.full {
			rounds = 10
		}
		var total gapResult
		for range rounds {
			for _, length := range gapLengths {
				r, err := s.gap(ctx, length)
				if err != nil {
					return err
				}
				total.add(r)
				events++
			}
			r, err := s.brokenStream(ctx)
			if err != nil {
				return err
			}
			total.add(r)
			events++
		}
		printed := strings.Count(s.cli.String(), ": gap\n")
		e.table.AtMost("invalidation_gap_flush", float64(total.stale), 0, int64(events), "copies", fmt.Sprintf(
			"old copies kept after gaps in which %d events were lost; `gannet watch invalidations` printed %d gaps", total.lost, printed))
		unflushed := total.unflushed
		if printed == 0 {
			unflushed++
		}
		e.table.AtMost("invalidation_gap_flush", float64(unflushed), 0, int64(events), "gaps", "of which the subscriber was not told to flush")
		return nil
	})
}

type gapResult struct{ stale, lost, unflushed int }

func (g *gapResult) add(r gapResult) {
	g.stale, g.lost, g.unflushed = g.stale+r.stale, g.lost+r.lost, g.unflushed+r.unflushed
}

// subscriber holds copies by the rules of package invalidate.
type subscriber struct {
	bed    *bed.Bed
	client *client.Client
	at     *bed.Node // whose stream it reads
	origin *bed.Node // whose events it is to miss
	led    []string  // keys that origin leads
	id     string    // of origin, as notices have it
	cancel context.CancelFunc
	ended  sync.WaitGroup
	cli    lockedBuffer // what `gannet watch invalidations` printed
	watch  *exec.Cmd

	mu         sync.Mutex
	copies     map[string]client.Version // guarded by mu
	covered    map[string]bool           // guarded by mu: origins
	arrived    map[string]arrival        // guarded by mu: the last event of each key
	flushes    map[string]int            // guarded by mu: by reason
	heartbeats int                       // guarded by mu
	last       time.Time                 // guarded by mu: of any notice
}

type arrival struct {
	version client.Version
	at      time.Time
}

// lockedBuffer takes the output of a process.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func subscribe(ctx context.Context, e *env, b *bed.Bed, c *client.Client) (*subscriber, error) {
	n := b.Nodes()
	s := &subscriber{
		bed: b, client: c, at: n[0], origin: n[1], copies: map[string]client.Version{}, covered: map[string]bool{},
		arrived: map[string]arrival{}, flushes: map[string]int{},
	}
	r, err := b.Ring(ctx)
	if err != nil {
		return nil, err
	}
	for i := 0; len(s.led) < invalidationKeys; i++ {
		key := fmt.Sprintf("copy:%d", i)
		holders := r.Replicas(wire.KeyHash([]byte(key)), nil)
		if len(holders) > 0 && holders[0].Name == s.origin.Name {
			s.led, s.id = append(s.led, key), fmt.Sprintf("%016x", holders[0].ID)
		}
	}
	s.watch = exec.Command(filepath.Join(e.bin, "gannet"), "watch", "invalidations", "--server", controlOf(s.at))
	s.watch.Stdout, s.watch.Stderr = &s.cli, &s.cli
	if err := s.watch.Start(); err != nil {
		return nil, err
	}
	ctx, s.cancel = context.WithCancel(ctx)
	s.ended.Go(func() { s.run(ctx) })
	_, err = within(ctx, 20*time.Second, "the subscription covers the others", func() (bool, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.covered[s.id], nil
	})
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *subscriber) close() {
	s.cancel()
	s.ended.Wait()
	_ = s.watch.Process.Signal(unix.SIGTERM) // it may have ended
	_ = s.watch.Wait()                       // by the signal
}

// run reads the stream, again and again.
func (s *subscriber) run(ctx context.Context) {
	for ctx.Err() == nil {
		c, err := s.bed.Control(s.at, "client")
		if err != nil {
			return
		}
		stream, leave := context.WithCancel(ctx)
		s.ended.Go(func() { s.mistrust(stream, leave) })
		_ = c.Watch(stream, s.take) // a broken stream is what this is about
		leave()
		c.Close()
		s.dropAll()
		pause(ctx, 50*time.Millisecond)
	}
}

// mistrust leaves a stream that has been silent for too long.
func (s *subscriber) mistrust(stream context.Context, leave func()) {
	opened := time.Now()
	for ; stream.Err() == nil; pause(stream, 50*time.Millisecond) {
		s.mu.Lock()
		last := s.last
		s.mu.Unlock()
		if time.Since(opened) > quietLongest && time.Since(last) > quietLongest {
			leave()
		}
	}
}

type noticeLine struct {
	Action  string         `json:"action"`
	Key     string         `json:"key"`
	Version client.Version `json:"version"`
	Origin  string         `json:"origin"`
	Reason  string         `json:"reason"`
	Covered bool           `json:"covered"`
}

// take does what a notice asks for.
func (s *subscriber) take(line []byte) error {
	var n noticeLine
	if err := json.Unmarshal(line, &n); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = time.Now()
	switch n.Action {
	case "invalidate":
		s.arrived[n.Key] = arrival{n.Version, s.last}
		if s.copies[n.Key] < n.Version {
			delete(s.copies, n.Key)
		}
	case "flush":
		s.flushes[n.Reason]++
		switch n.Origin {
		case "":
			clear(s.copies)
			clear(s.covered)
		case s.id:
			clear(s.copies) // it has copies of this origin's only
			fallthrough
		default:
			s.covered[n.Origin] = n.Covered
		}
	case "heartbeat":
		s.heartbeats++
	}
	return nil
}

func (s *subscriber) dropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.copies)
	clear(s.covered)
}

// fill takes a copy of each key that origin leads.
func (s *subscriber) fill(ctx context.Context) error {
	for _, key := range s.led {
		if _, err := s.client.Put(ctx, key, []byte(key)); err != nil {
			return err
		}
	}
	_, err := within(ctx, coveredLongest, "the origin is covered, and the events have come", func() (bool, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.covered[s.id] && s.arrived[s.led[len(s.led)-1]].version != 0, nil
	})
	if err != nil {
		return err
	}
	pause(ctx, 200*time.Millisecond)
	for _, key := range s.led {
		item, err := s.client.Get(ctx, key)
		if err != nil {
			return err
		}
		s.mu.Lock()
		if s.covered[s.id] && s.arrived[key].version <= item.Version {
			s.copies[key] = item.Version
		}
		s.mu.Unlock()
	}
	return nil
}

// write writes every key over a time, and returns the versions.
func (s *subscriber) write(ctx context.Context, over time.Duration) (map[string]client.Version, error) {
	written := map[string]client.Version{}
	began := time.Now()
	for i, key := range s.led {
		version, err := s.client.Put(ctx, key, []byte("new"))
		if err != nil {
			return nil, err
		}
		written[key] = version
		pause(ctx, time.Until(began.Add(over*time.Duration(i+1)/time.Duration(len(s.led)))))
	}
	return written, nil
}

// gap cuts the gossip between origin and the subscriber's node while origin's items are
// written.
func (s *subscriber) gap(ctx context.Context, length time.Duration) (r gapResult, err error) {
	if err := s.fill(ctx); err != nil {
		return r, err
	}
	before := s.flushed()
	if err := s.at.CutGossip(s.origin); err != nil {
		return r, err
	}
	written, err := s.write(ctx, length)
	if err = errors.Join(err, s.at.Heal()); err != nil {
		return r, err
	}
	return s.judge(ctx, before, written)
}

// brokenStream cuts the subscriber's own connection, longer than it trusts a silence.
func (s *subscriber) brokenStream(ctx context.Context) (r gapResult, err error) {
	if err := s.fill(ctx); err != nil {
		return r, err
	}
	before := s.flushed()
	if err := s.at.CutControl(); err != nil {
		return r, err
	}
	written, err := s.write(ctx, 2*quietLongest)
	if err = errors.Join(err, s.at.Heal()); err != nil {
		return r, err
	}
	return s.judge(ctx, before, written)
}

// flushed counts what told the subscriber to drop copies because of something lost.
func (s *subscriber) flushed() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, reason := range []string{"gap", "silent", "heard_again", "restart", "new_origin", "subscribed", "overflow"} {
		n += s.flushes[reason]
	}
	return n
}

// judge waits for the flush, and counts copies that are older than what was written.
func (s *subscriber) judge(ctx context.Context, before int, written map[string]client.Version) (r gapResult, err error) {
	_, flush := within(ctx, flushLongest, "a flush", func() (bool, error) { return s.flushed() > before, nil })
	if flush != nil {
		r.unflushed = 1
	}
	pause(ctx, 200*time.Millisecond) // events that were not lost
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, version := range written {
		if held, ok := s.copies[key]; ok && held < version {
			r.stale++
		}
		if s.arrived[key].version < version {
			r.lost++
		}
	}
	return r, ctx.Err()
}

// delays reports how long events take to the subscriber of another node, and checks
// that an idle stream beats.
func (s *subscriber) delays(ctx context.Context, e *env) error {
	s.mu.Lock()
	before := s.heartbeats
	s.mu.Unlock()
	pause(ctx, idleWatched)
	s.mu.Lock()
	beats := s.heartbeats - before
	s.mu.Unlock()
	if beats < idleHeartbeats {
		return fmt.Errorf("an idle stream had %d heartbeats in %v", beats, idleWatched)
	}
	acked := map[string]time.Time{}
	var took []time.Duration
	lost := 0
	for _, key := range s.led {
		if _, err := s.client.Put(ctx, key, []byte(key)); err != nil {
			return err
		}
		acked[key] = time.Now()
		pause(ctx, time.Millisecond)
	}
	pause(ctx, time.Second)
	s.mu.Lock()
	for key, at := range acked {
		if a, ok := s.arrived[key]; ok {
			took = append(took, max(0, a.at.Sub(at)))
		} else {
			lost++
		}
	}
	s.mu.Unlock()
	if len(took) == 0 {
		return errors.New("no event arrived")
	}
	slices.Sort(took)
	for _, q := range []struct {
		name string
		q    float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		e.table.Report("invalidation_ms", inMillis(quantileOf(took, q.q)), int64(len(took)), "ms", fmt.Sprintf(
			"%s from the acknowledgement to the event at a subscriber of another node; %d did not come", q.name, lost))
	}
	return nil
}
