package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"gannet/ring"
	"gannet/test/cluster/bed"
	"gannet/test/cluster/load"
	"gannet/wire"
)

// agreeLongest is how long replicas may take to agree once nobody writes.
const agreeLongest = 10 * time.Second

// disagreement is a key that a replica of its range does not hold as its leader does.
type disagreement struct {
	key              string
	leader, follower string
	leads, follows   wire.ReplyOp
}

func (d disagreement) String() string {
	return fmt.Sprintf("%s: leader %s says %v %v, follower %s says %v %v",
		d.key, d.leader, d.leads.Status, d.leads.Version, d.follower, d.follows.Status, d.follows.Version)
}

// replicaAsker asks both replicas of keys, while nobody writes.
type replicaAsker struct {
	ring   *ring.Ring
	askers map[uint64]*asker // by member
}

func newReplicaAsker(ctx context.Context, b *bed.Bed) (*replicaAsker, error) {
	r, err := b.Ring(ctx)
	if err != nil {
		return nil, err
	}
	a := &replicaAsker{ring: r, askers: map[uint64]*asker{}}
	for _, m := range r.Members() {
		if a.askers[m.ID], err = newAsker(b.Node(m.Name)); err != nil {
			a.close()
			return nil, err
		}
	}
	return a, nil
}

func (a *replicaAsker) close() {
	for _, asker := range a.askers {
		if asker != nil {
			asker.close()
		}
	}
}

// differ returns those of the keys that a follower does not hold as its leader does.
func (a *replicaAsker) differ(ctx context.Context, keys []string) (found []disagreement, err error) {
	var replicas []*ring.Member
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		replicas = a.ring.Replicas(keyHash(key), replicas[:0])
		d := disagreement{key: key}
		for i, m := range replicas {
			answer, err := a.askers[m.ID].get(key, 0, a.ring.Epoch())
			if err != nil {
				return nil, fmt.Errorf("ask %s: %w", m.Name, err)
			}
			if i == 0 {
				d.leader, d.leads = m.Name, answer
				continue
			}
			d.follower, d.follows = m.Name, answer
			if d.leads.Status != d.follows.Status || d.leads.Version != d.follows.Version {
				found = append(found, d)
			}
		}
	}
	return found, nil
}

// countDiffering returns how many keys the replicas do not agree about, though they
// had time to.
func countDiffering(ctx context.Context, b *bed.Bed) (int, error) {
	a, err := newReplicaAsker(ctx, b)
	if err != nil {
		return 0, err
	}
	defer a.close()
	left := make([]string, loadKeys)
	for i := range left {
		left[i] = load.Key(i)
	}
	var found []disagreement
	for end := time.Now().Add(agreeLongest); len(left) > 0; {
		more, err := a.differ(ctx, left)
		if err != nil && !errors.Is(err, errAskerSilent) {
			return 0, err
		}
		if err == nil {
			if found = more; time.Now().After(end) {
				break
			}
			left = left[:0]
			for _, d := range found {
				left = append(left, d.key)
			}
		}
	}
	for _, d := range found[:min(3, len(found))] {
		fmt.Fprintln(os.Stderr, "      differs:", d)
	}
	return len(found), nil
}
