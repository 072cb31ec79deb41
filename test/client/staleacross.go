package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gannet/client"
	"gannet/ring"
	"gannet/test/cluster/bed"
	"gannet/wire"
)

// When a fill across a change of leader is overtaken, counted from its lease.
type moment int

const (
	atOldLeader moment = iota // before the change
	atNewLeader               // after it
)

// acrossWays are the ways to overtake a fill whose key gets another leader in
// between.
var acrossWays = []struct {
	name string
	when moment
	do   step
}{
	{"put, then the leader changes", atOldLeader, putNewer},
	{"delete, then the leader changes", atOldLeader, deleteMissing},
	{"the leader changes, then put", atNewLeader, putNewer},
	{"the leader changes, then delete", atNewLeader, deleteMaybe},
	{"the leader changes, then put and delete", atNewLeader, chain(putNewer, deleteMaybe)},
	{"the leader changes, then another fill", atNewLeader, fillAnew},
}

// deleteMaybe deletes what need not be there.
func deleteMaybe(ctx context.Context, c *client.Client, key string) error {
	if err := c.Delete(ctx, key); err != nil && !errors.Is(err, client.ErrNotFound) {
		return err
	}
	return nil
}

// late is a fill that has been overtaken, or will be.
type late struct {
	way   int
	key   string
	lease client.Lease
}

// changes are the ways in which a leader is replaced. After those that return, the
// first leader leads again before the fills come, with the memory it had.
var changes = []struct {
	name    string
	lose    func(*bed.Node) error
	returns func(*bed.Node) error
}{
	{"stopped, and back", (*bed.Node).Pause, (*bed.Node).Resume},
	{"killed", (*bed.Node).Kill, nil},
}

// staleSetsAcross plays fills that are overtaken while their key's leader changes.
func (e *env) staleSetsAcross(ctx context.Context) (t tally, err error) {
	each, rounds := 10, 1
	if e.full {
		each, rounds = 50, 5
	}
	b, err := bed.New(ctx, bed.Config{Bin: e.bin})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	filler, err := b.Client(ctx, client.WithTimeout(5*time.Second))
	if err != nil {
		return t, err
	}
	defer filler.Close()
	writer, err := b.Client(ctx, client.WithTimeout(5*time.Second))
	if err != nil {
		return t, err
	}
	defer writer.Close()
	s := &across{bed: b, filler: filler, writer: writer, each: each}
	for round := range rounds {
		for i := range changes {
			s.victim = b.Nodes()[(round+i)%3]
			if err := s.play(ctx, i, fmt.Sprintf("across:%d:%d", round, i)); err != nil {
				return t, fmt.Errorf("leader %s: %w", changes[i].name, err)
			}
		}
	}
	return s.tally, nil
}

// across is a script of fills around changes of a leader.
type across struct {
	bed            *bed.Bed
	filler, writer *client.Client
	each           int
	victim         *bed.Node
	tally          tally
}

// play replaces the victim as a leader between leases and fills.
func (s *across) play(ctx context.Context, change int, prefix string) error {
	fills, err := s.lease(ctx, prefix)
	if err != nil {
		return err
	}
	if err := s.overtake(ctx, fills, atOldLeader); err != nil {
		return err
	}
	c := changes[change]
	if err := c.lose(s.victim); err != nil {
		return err
	}
	if err := s.await(ctx, fills, func(leader string) bool { return leader != s.victim.Name }); err != nil {
		return err
	}
	if err := s.overtake(ctx, fills, atNewLeader); err != nil {
		return err
	}
	if c.returns != nil {
		if err := c.returns(s.victim); err != nil {
			return err
		}
		if err := s.await(ctx, fills, func(leader string) bool { return leader == s.victim.Name }); err != nil {
			return err
		}
	}
	for _, f := range fills {
		s.tally.count(fmt.Sprintf("leader %s: %s", c.name, acrossWays[f.way].name), s.fill(ctx, f))
	}
	if c.returns == nil {
		if err := s.victim.Start(ctx); err != nil {
			return err
		}
	}
	return s.bed.AwaitActive(ctx, s.victim)
}

// lease takes leases on keys that the victim leads.
func (s *across) lease(ctx context.Context, prefix string) (fills []late, err error) {
	r, err := s.bed.Ring(ctx)
	if err != nil {
		return nil, err
	}
	for n := 0; len(fills) < s.each*len(acrossWays); n++ {
		key := fmt.Sprintf("%s:%d", prefix, n)
		if leaderOf(r, key) != s.victim.Name {
			continue
		}
		item, err := s.filler.Get(ctx, key, client.TakeLease())
		if item.Lease == 0 {
			return nil, fmt.Errorf("%w: no lease on %s: %w", errSchedule, key, err)
		}
		fills = append(fills, late{len(fills) % len(acrossWays), key, item.Lease})
	}
	return fills, nil
}

func leaderOf(r *ring.Ring, key string) string {
	if m := r.Owner(wire.KeyHash([]byte(key))); m != nil {
		return m.Name
	}
	return ""
}

func (s *across) overtake(ctx context.Context, fills []late, when moment) error {
	for _, f := range fills {
		if way := acrossWays[f.way]; way.when == when {
			if err := way.do(ctx, s.writer, f.key); err != nil {
				return fmt.Errorf("%w: %s: %w", errSchedule, way.name, err)
			}
		}
	}
	return nil
}

// await waits until the leader of all keys is who it should be.
func (s *across) await(ctx context.Context, fills []late, is func(leader string) bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return until(ctx, func() (bool, error) {
		r, err := s.bed.Ring(ctx)
		if err != nil {
			return false, ctx.Err()
		}
		for _, f := range fills {
			if !is(leaderOf(r, f.key)) {
				return false, nil
			}
		}
		return true, nil
	})
}

// fill puts a value that has been overtaken. It must be refused, and must not be there
// afterwards.
func (s *across) fill(ctx context.Context, f late) error {
	const overtaken = "overtaken"
	if _, err := s.filler.Put(ctx, f.key, []byte(overtaken), client.WithLease(f.lease)); !errors.Is(err, client.ErrLeaseRefused) {
		return fmt.Errorf("%s: the fill ended with %w", f.key, errOr(err))
	}
	item, err := s.writer.Get(ctx, f.key)
	if err != nil && !errors.Is(err, client.ErrMiss) {
		return err
	}
	if strings.HasPrefix(string(item.Value), overtaken) {
		return fmt.Errorf("%s: refused, and there all the same", f.key)
	}
	return nil
}

var errNone = errors.New("no error")

func errOr(err error) error {
	if err == nil {
		return errNone
	}
	return err
}
