package control

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"gannet/replication"
)

// renewLongest: a renewal that is answered later would be of no use any more.
const renewLongest = 200 * time.Millisecond

// ringStore asks etcd about the ring, each question on a goroutine of its own, and
// one of a kind at a time: a slow etcd delays nobody.
type ringStore struct {
	ctx    context.Context
	client *clientv3.Client
	// node takes what a node is to know, both what the controller is to know as well.
	node func(replication.Event)
	both func(replication.Event)
	// swapped takes the outcome of a swap.
	swapped func(replication.Event)
	log     *slog.Logger

	running  sync.WaitGroup
	renewing atomic.Bool
	reading  atomic.Bool

	renewals, refusals, failures, swaps atomic.Uint64
}

// renew asks whether the ring still has a revision. An empty transaction is answered
// after a quorum was heard, and writes nothing.
func (s *ringStore) renew(revision int64) {
	if !s.renewing.CompareAndSwap(false, true) {
		return
	}
	s.running.Go(func() {
		defer s.renewing.Store(false)
		ctx, cancel := context.WithTimeout(s.ctx, renewLongest)
		defer cancel()
		sent := BootNanos()
		done, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(ringKey), "=", revision)).Commit()
		switch {
		case err != nil:
			s.failures.Add(1)
		case done.Succeeded:
			s.renewals.Add(1)
			s.node(replication.Renewed{Revision: revision, SentNanos: sent})
		default:
			s.refusals.Add(1)
			s.node(replication.RenewRefused{Revision: revision})
			s.read()
		}
	})
}

// read reads the ring from a quorum.
func (s *ringStore) read() {
	if !s.reading.CompareAndSwap(false, true) {
		return
	}
	s.running.Go(func() {
		defer s.reading.Store(false)
		ctx, cancel := context.WithTimeout(s.ctx, etcdCallLongest)
		defer cancel()
		got, err := s.client.Get(ctx, ringKey)
		if err != nil {
			s.failures.Add(1)
			return
		}
		var rec replication.Record
		if len(got.Kvs) == 1 {
			if rec, err = replication.DecodeRecord(got.Kvs[0].Value, got.Kvs[0].ModRevision); err != nil {
				s.log.Error("the ring in etcd cannot be used; delete its key to begin anew", "key", ringKey, "error", err)
				return
			}
		}
		s.both(replication.RecordSeen{Record: rec, Linear: true})
	})
}

// swap puts a record in the place of the one of its revision.
func (s *ringStore) swap(rec replication.Record) {
	s.running.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, etcdCallLongest)
		defer cancel()
		done, err := s.put(ctx, &rec)
		if err != nil {
			s.failures.Add(1)
			s.log.Warn("the ring was not changed", "epoch", rec.Epoch(), "error", err)
		}
		switch {
		case done:
			s.swaps.Add(1)
			s.log.Info("ring changed in etcd", "epoch", rec.Epoch(), "members", len(rec.Ring.Members()))
		case err == nil:
			s.log.Info("another controller changed the ring first", "epoch", rec.Epoch())
		}
		s.swapped(replication.Swapped{Done: done})
		s.read()
	})
}

func (s *ringStore) put(ctx context.Context, rec *replication.Record) (bool, error) {
	done, err := s.client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(ringKey), "=", rec.Revision)).
		Then(clientv3.OpPut(ringKey, string(rec.AppendEncode(nil)))).
		Commit()
	if err != nil {
		return false, fmt.Errorf("swap the ring in etcd: %w", err)
	}
	return done.Succeeded, nil
}
