package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gannet/client"
	"gannet/test/cluster/bed"
	"gannet/test/cluster/load"
)

const (
	// silenceLeast is the silence before which nobody may be promoted; a node that is
	// silent for longer than silenceSure must be replaced.
	silenceLeast = 700 * time.Millisecond
	silenceSure  = 1500 * time.Millisecond
	awayFor      = 4 * time.Second
	settleFor    = 3 * time.Second
)

// silence is a way for a leader to fall silent.
type silence struct {
	what   string
	length time.Duration // 0: for good
	fall   func(*bed.Node) error
	rise   func(*bed.Node) error
}

func stopped(d time.Duration) silence {
	return silence{fmt.Sprintf("stopped for %v", d), d, (*bed.Node).Pause, (*bed.Node).Resume}
}

func cutOff() silence {
	return silence{"cut off", awayFor, func(n *bed.Node) error { return n.Cut() }, (*bed.Node).Heal}
}

func hostGone() silence { return silence{what: "host gone", fall: (*bed.Node).Vanish} }

// silences are the ways, fewer of each without full.
func silences(full bool) []silence {
	all := []silence{
		stopped(100 * time.Millisecond), cutOff(), stopped(600 * time.Millisecond), hostGone(), stopped(3 * time.Second), cutOff(), hostGone(),
	}
	if !full {
		return all
	}
	all = nil
	for i := range 10 {
		lengths := []time.Duration{100, 300, 500, 650, 800, 1000, 2000, 5000, 10_000, 20_000}
		all = append(all, stopped(lengths[i]*time.Millisecond), cutOff(), hostGone())
	}
	return all
}

// checkSilence has leaders fall silent and come back.
func checkSilence(ctx context.Context, e *env) error {
	type result struct {
		silence
		*trial
	}
	var results []result
	differ := 0
	err := e.withCluster(ctx, bed.Config{}, func(b *bed.Bed, c *client.Client) error {
		for i, s := range silences(e.full) {
			victim := b.Nodes()[i%len(b.Nodes())]
			t, err := s.trial(ctx, b, c, victim, uint64(1000+i))
			if err != nil {
				return fmt.Errorf("%s %s: %w", victim.Name, s.what, err)
			}
			t.say(s.what)
			results = append(results, result{s, t})
			if s.length == 0 {
				err = revive(ctx, b, victim)
			} else {
				err = b.AwaitActive(ctx, victim)
			}
			if err != nil {
				return err
			}
			more, err := countDiffering(ctx, b)
			if err != nil {
				return err
			}
			differ += more
		}
		return nil
	})
	if err != nil {
		return err
	}
	var worst time.Duration
	promoted, early, back, stale, failed, reads := 0, 0, 0, 0, 0, 0
	for _, r := range results {
		stale += r.history.StaleAcks(r.groups)
		failed += r.history.FailedReads(0, r.end)
		reads += r.history.Reads(0, r.end)
		_, broken := r.losses()
		back += load.Resurrections(broken)
		down, seen := r.downAfter()
		first, acked := r.history.FirstNew(r.groups, r.affected, r.fault)
		if seen && (down < silenceLeast || r.length != 0 && r.length < silenceLeast) || acked && first < silenceLeast && seen {
			early++
		}
		if r.length != 0 && r.length < silenceSure && !seen {
			continue // it came back in time
		}
		promoted++
		took, ok := r.back()
		if !ok {
			took = time.Duration(r.end - r.fault)
		}
		worst = max(worst, took)
	}
	n := int64(len(results))
	e.table.AtMost("replicas_differ", float64(differ), 0, n, "keys", "that a follower did not hold as its leader did, after the return of each, when nobody wrote any more")
	e.table.AtMost("silent_write_ms", millis(worst), 2500, int64(promoted), "ms",
		fmt.Sprintf("worst, from silence (stopped, cut off, host gone) to the first acknowledged write on the last of the leader's ranges; %d of %d reads failed", failed, reads))
	e.table.AtMost("early_promotions", float64(early), 0, n, "promotions", fmt.Sprintf("before %v of silence", silenceLeast))
	e.table.AtMost("resurrections", float64(back), 0, n, "keys", "deleted keys that came back with a leader that had been silent, or after it")
	e.table.AtMost("stale_acks", float64(stale), 0, n, "writes", "around silent leaders")
	return nil
}

// trial has a node be silent in this way.
func (s silence) trial(ctx context.Context, b *bed.Bed, c *client.Client, victim *bed.Node, seed uint64) (*trial, error) {
	return during(ctx, b, c, victim, seed, func(now func()) error {
		now()
		if err := s.fall(victim); err != nil {
			return err
		}
		if s.length == 0 {
			return sleep(ctx, awayFor)
		}
		if err := sleep(ctx, s.length); err != nil {
			return err
		}
		if err := s.rise(victim); err != nil {
			return err
		}
		return sleep(ctx, settleFor)
	})
}

// promotions are the rings of a trial with a member that is not active.
func (t *trial) promotions() int {
	return len(slices.DeleteFunc(slices.Clone(t.sightings), func(s sighting) bool { return s.whole }))
}
