package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"gannet/client"
	"gannet/control/api"
	"gannet/ring"
	"gannet/test/cluster/bed"
	"gannet/test/cluster/load"
)

const (
	scaleSteady  = 5 * time.Second
	scaleLongest = 90 * time.Second // of one change
	// scaleLook is between two looks at how far a change has come: each asks all nodes,
	// whose CPUs have other things to do.
	scaleLook = 200 * time.Millisecond
	// scaleWindow is the time over which the hit ratio is taken.
	scaleWindow = int64(time.Second)
	// scaleShare is the part of the data set that a leader may send a follower of copies
	// a second: the fourth node takes about half of the set from three.
	scaleShare = 0.04
)

// scaling is a cluster that grows and shrinks under load.
type scaling struct {
	bed    *bed.Bed
	client *client.Client
	load   *load.Load
	spans  []span // of changes
	served float64
	sent   []float64 // bytes a second that nodes sent each other while copies were made
	joined time.Duration
}

// span is a part of the load's time.
type span struct {
	what     string
	from, to int64
}

// measureScale lets a fourth node join, die in the middle of it, come again and leave.
func measureScale(ctx context.Context, e *env) error {
	keys := 120_000
	memory := int64(256 << 20)
	if e.full {
		keys, memory = 1_000_000, 2<<30
	}
	cfg := bed.Config{Bin: e.bin, Log: e.log, Memory: memory, Flags: []string{fmt.Sprintf("--repair-rate=%dKB", scaleRate(keys)/1000)}}
	return e.scaled(ctx, cfg, load.Config{Rate: loadRate, Keys: keys, WriteShare: writeShare, Seed: 7})
}

// scaleRate is in bytes a second.
func scaleRate(keys int) int { return int(scaleShare * 1000 * float64(keys)) }

func (e *env) scaled(ctx context.Context, cfg bed.Config, offered load.Config) (err error) {
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
	if err := load.Fill(ctx, c, offered); err != nil {
		return err
	}
	load.ShortSlices()
	s := &scaling{bed: b, client: c}
	s.load = load.Start(ctx, c, offered)
	began := s.load.Now()
	err = s.run(ctx)
	ended := s.load.Now()
	h := s.load.Stop()
	if err != nil {
		return err
	}
	if rate := h.Rate(began, ended); rate < loadLeast {
		return fmt.Errorf("%w: %.0f operations a second of %d", errVoid, rate, loadLeast)
	}
	e.judgeScale(s, h, began, offered)
	return nil
}

// run makes the changes, with quiet times between them.
func (s *scaling) run(ctx context.Context) error {
	if err := sleep(ctx, scaleSteady); err != nil {
		return err
	}
	n, err := s.bed.Add(ctx)
	if err != nil {
		return err
	}
	steps := []struct {
		what string
		do   func(context.Context, *bed.Node) error
	}{
		{"join, and death in the middle of it", s.dieJoining},
		{"join", s.join},
		{"leave", s.leave},
	}
	for _, step := range steps {
		from := s.load.Now()
		if err := step.do(ctx, n); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		s.spans = append(s.spans, span{step.what, from, s.load.Now()})
		fmt.Fprintf(os.Stderr, "   %s: %.1f s\n", step.what, float64(s.load.Now()-from)/1e9)
		if err := sleep(ctx, scaleSteady); err != nil {
			return err
		}
	}
	return nil
}

// await looks now and then whether a change has come so far.
func (s *scaling) await(ctx context.Context, what string, so func() (bool, error)) error {
	_, err := within(ctx, scaleLongest, what, func() (bool, error) {
		pause(ctx, scaleLook)
		return so()
	})
	return err
}

// state is a node's in the newest ring; false: it is in none.
func (s *scaling) state(ctx context.Context, n *bed.Node) (ring.State, bool, error) {
	r, err := s.bed.Ring(ctx)
	if err != nil {
		return 0, false, err
	}
	at := slices.IndexFunc(r.Members(), func(m ring.Member) bool { return m.Name == n.Name })
	if at < 0 {
		return 0, false, nil
	}
	return r.Members()[at].State, true, nil
}

// dieJoining kills the node once it has some of its items, and waits until the others
// have given it up.
func (s *scaling) dieJoining(ctx context.Context, n *bed.Node) error {
	err := s.await(ctx, n.Name+" has some items", func() (bool, error) {
		state, in, err := s.state(ctx, n)
		if err != nil || !in {
			return false, err
		}
		if state != ring.Joining {
			return false, fmt.Errorf("it is %v already", state)
		}
		items, err := n.Metric(ctx, "gannet_items")
		return items > 100, err
	})
	if err != nil {
		return err
	}
	if err := n.Kill(); err != nil {
		return err
	}
	state, in, err := s.state(ctx, n)
	if err != nil {
		return err
	}
	if in && state != ring.Joining { // who dies while it joins may be out of the ring already
		return fmt.Errorf("%w: the node was %v when it died, not joining", errVoid, state)
	}
	return sleep(ctx, 2*time.Second)
}

// join starts the node again and waits until it serves. Nobody may have asked it before.
func (s *scaling) join(ctx context.Context, n *bed.Node) error {
	began := time.Now()
	if err := n.Start(ctx); err != nil {
		return err
	}
	before, err := s.sentBytes(ctx)
	if err != nil {
		return err
	}
	at := time.Now()
	err = s.await(ctx, n.Name+" serves", func() (bool, error) {
		if since := time.Since(at); since >= time.Second {
			now, err := s.sentBytes(ctx)
			if err != nil {
				return false, err
			}
			s.sent = append(s.sent, (now-before)/since.Seconds())
			before, at = now, time.Now()
		}
		served, err := n.Metric(ctx, "gannet_hits_total")
		if err != nil {
			return false, err
		}
		state, in, err := s.state(ctx, n)
		if in && state == ring.Active {
			return true, err
		}
		s.served = served
		return false, err
	})
	s.joined = time.Since(began)
	return err
}

// leave drains the node, waits until it is out of the ring, and stops it.
func (s *scaling) leave(ctx context.Context, n *bed.Node) error {
	control, err := s.bed.Control(s.bed.Nodes()[0], "admin")
	if err != nil {
		return err
	}
	defer control.Close()
	if err := drainBy(ctx, control, n.Name); err != nil {
		return err
	}
	err = s.await(ctx, n.Name+" has left", func() (bool, error) {
		_, in, err := s.state(ctx, n)
		return !in, err
	})
	if err != nil {
		return err
	}
	return n.Stop()
}

func drainBy(ctx context.Context, control *api.Client, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return control.Drain(ctx, name)
}

// sentBytes is what all nodes have sent to followers.
func (s *scaling) sentBytes(ctx context.Context) (bytes float64, err error) {
	for _, n := range s.bed.Nodes() {
		sent, err := n.Metric(ctx, "gannet_replication_sent_bytes_total")
		if err != nil {
			return 0, err
		}
		bytes += sent
	}
	return bytes, nil
}

func (e *env) judgeScale(s *scaling, h *load.History, began int64, offered load.Config) {
	first := s.spans[0].from
	last := s.spans[len(s.spans)-1].to + int64(scaleSteady)/2
	steady := h.HitShare(began, first)
	worst, at := 1.0, int64(0)
	for from := first; from+scaleWindow <= last; from += scaleWindow {
		if share := h.HitShare(from, from+scaleWindow); share < worst {
			worst, at = share, from
		}
	}
	calm := h.ReadLatency(0.99, began, first)
	busy, during := time.Duration(0), ""
	for _, span := range s.spans {
		p99 := h.ReadLatency(0.99, span.from, span.to)
		during += fmt.Sprintf("; %s: %.1f s, p99 %.2f ms", span.what, float64(span.to-span.from)/1e9, inMillis(p99))
		busy = max(busy, p99)
	}
	size := float64(offered.Keys) * 1000 / 1e6
	n := int64(h.Reads(first, last))
	e.table.AtMost("scale_hit_drop", 100*(steady-worst), 1, n, "points", fmt.Sprintf(
		"worst second of 3 → 4 → 3 nodes with %.0f MB, hit ratio %.4f before, %.4f at %.1f s; %d reads failed; the new node had answered %.0f hits before it served",
		size, steady, worst, float64(at-first)/1e9, h.FailedReads(began, last), s.served))
	fastest := 0.0
	if len(s.sent) > 0 {
		fastest = slices.Max(s.sent)
	}
	e.table.AtMost("scale_p99", float64(busy)/float64(max(calm, 1)), 2, n, "× steady", fmt.Sprintf(
		"worst of the changes; steady %.2f ms%s; copies and writes at most %.1f MB/s over all nodes, copies of %.1f MB/s a leader and follower allowed",
		inMillis(calm), during, fastest/1e6, float64(scaleRate(offered.Keys))/1e6))
}
