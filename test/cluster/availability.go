package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gannet/client"
	"gannet/test/cluster/bed"
)

const (
	answerIn = 50 * time.Millisecond
	// A second in which the hypervisor took more than this share of the CPUs says
	// nothing about us.
	stealMost = 0.1
)

// checkAvailability runs an hour of scripted faults and counts the GETs that were
// answered in time. It runs with FULL=1 only, or when it is named; then for minutes.
func checkAvailability(ctx context.Context, e *env) error {
	length := 3 * time.Minute
	if e.full {
		length = time.Hour
	}
	return e.withCluster(ctx, bed.Config{}, func(b *bed.Bed, c *client.Client) error {
		var sum tally
		faults := 0
		for end := time.Now().Add(length); time.Now().Before(end) && ctx.Err() == nil; faults++ {
			s := script[faults%len(script)]
			if err := sum.take(ctx, b, c, s, faults); err != nil {
				return fmt.Errorf("%s: %w", s.what, err)
			}
		}
		e.table.AtLeast("availability", float64(sum.answered)/float64(max(1, sum.sent)), 0.9999, int64(sum.sent), "share of GETs",
			fmt.Sprintf("hit or miss within %v of when it was due, over %v of faults (%d); left out: %d s of stolen CPU with %d GETs; also failed for good: %d",
				answerIn, length, faults, sum.stolenSeconds, sum.stolenReads, sum.failed))
		e.table.AtMost("replicas_differ", float64(sum.differ), 0, int64(faults), "keys", "that a follower did not hold as its leader did, after each of these faults, when nobody wrote any more")
		return nil
	})
}

// scripted is one fault of the hour, and what mends it.
type scripted struct {
	what  string
	fault func(ctx context.Context, b *bed.Bed, n *bed.Node) error
}

const quietFor = 15 * time.Second

var script = []scripted{
	{"nothing", func(ctx context.Context, _ *bed.Bed, _ *bed.Node) error { return sleep(ctx, quietFor) }},
	{"killed", func(ctx context.Context, b *bed.Bed, n *bed.Node) error {
		return errors.Join(n.Kill(), sleep(ctx, awayFor), revive(ctx, b, n))
	}},
	{"stopped for 300 ms", func(ctx context.Context, _ *bed.Bed, n *bed.Node) error {
		return errors.Join(n.Pause(), sleep(ctx, 300*time.Millisecond), n.Resume())
	}},
	{"cut off", func(ctx context.Context, b *bed.Bed, n *bed.Node) error {
		return errors.Join(n.Cut(), sleep(ctx, awayFor), n.Heal(), b.AwaitActive(ctx, n))
	}},
	{"control process killed", func(ctx context.Context, b *bed.Bed, n *bed.Node) error {
		return errors.Join(n.KillControl(), sleep(ctx, 200*time.Millisecond), n.Start(ctx), b.AwaitActive(ctx, n))
	}},
	{"stopped for 3 s", func(ctx context.Context, b *bed.Bed, n *bed.Node) error {
		return errors.Join(n.Pause(), sleep(ctx, 3*time.Second), n.Resume(), b.AwaitActive(ctx, n))
	}},
	{"etcd stopped", func(ctx context.Context, b *bed.Bed, _ *bed.Node) error {
		return errors.Join(b.Etcd()[0].Pause(), sleep(ctx, awayFor), b.Etcd()[0].Resume())
	}},
	{"host gone", func(ctx context.Context, b *bed.Bed, n *bed.Node) error {
		return errors.Join(n.Vanish(), sleep(ctx, awayFor), revive(ctx, b, n))
	}},
	{"left in order", func(ctx context.Context, b *bed.Bed, n *bed.Node) error {
		return errors.Join(n.Stop(), sleep(ctx, time.Second), revive(ctx, b, n))
	}},
}

// tally sums the GETs of the hour.
type tally struct {
	answered, sent, failed, stolenSeconds, stolenReads, differ int
}

// take has one fault happen under load, and adds its seconds.
func (s *tally) take(ctx context.Context, b *bed.Bed, c *client.Client, fault scripted, i int) error {
	steal := watchSteal(ctx)
	victim := b.Nodes()[i%len(b.Nodes())]
	t, err := during(ctx, b, c, victim, uint64(i), func(now func()) error {
		steal.since(now)
		return errors.Join(fault.fault(ctx, b, victim), sleep(ctx, settleFor))
	})
	bad := steal.end()
	if err != nil {
		return err
	}
	t.say(fault.what)
	differ, err := countDiffering(ctx, b)
	if err != nil {
		return err
	}
	s.differ += differ
	for from := t.begin; from < t.end; from += int64(time.Second) {
		to := min(from+int64(time.Second), t.end)
		answered, sent := t.history.AnsweredWithin(answerIn, from, to)
		if bad(from-t.fault, to-t.fault) {
			s.stolenSeconds++
			s.stolenReads += sent
			continue
		}
		s.answered, s.sent = s.answered+answered, s.sent+sent
	}
	s.failed += t.history.FailedReads(t.begin, t.end)
	return nil
}
