package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"gannet/client"
	"gannet/test/cluster/bed"
)

const (
	staleKeys    = 40
	staleClients = 4
	staleWorkers = 16
	// staleWrites is a second, over all keys: fewer a key than end its grants.
	staleWrites = 40
	staleL1Time = 5 * time.Second
	// staleLoss is the share of packets that get lost on the way to each node, and from
	// it: requests, invalidations on their streams, gossip, replication.
	staleLoss = 10
)

// checkL1Staleness has clients with L1 read what another one writes all the time, on a
// network that loses nothing, and on one that does.
func checkL1Staleness(ctx context.Context, e *env) error {
	return e.inBed(ctx, "stale-l1", map[string]func(word){
		"l1_stale_ms":       func(w word) { e.table.AtMost(w.Key, w.X, 100, w.N, "ms", w.Note) },
		"l1_stale_lossy_ms": func(w word) { e.table.AtMost(w.Key, w.X, 1000, w.N, "ms", w.Note) },
	})
}

func measureL1Staleness(ctx context.Context, j job, b *boss) error {
	reads, rate := 300_000, 30_000
	if j.Full {
		reads, rate = 10_000_000, 100_000
	}
	lasts := time.Duration(reads/rate+1) * time.Second
	return withBed(ctx, j, bed.Config{}, func(cluster *bed.Bed) error {
		return withClients(ctx, cluster, staleClients+1, func(clients []*client.Client) error {
			s := &staleness{clients: clients[1:], writer: clients[0]}
			if err := s.measure(ctx, rate, lasts); err != nil {
				return err
			}
			if err := s.report(b, "l1_stale_ms", reads); err != nil {
				return err
			}
			if err := loseEverywhere(cluster, staleLoss); err != nil {
				return err
			}
			resent := s.resent()
			if err := s.measure(ctx, rate, lasts); err != nil {
				return err
			}
			if lost := s.resent() - resent; lost < 100 {
				return fmt.Errorf("only %d datagrams were sent again: the loss did not come about", lost)
			}
			return s.report(b, "l1_stale_lossy_ms", reads)
		}, client.WithL1(1<<20, staleL1Time), client.WithTimeout(3*time.Second))
	})
}

func loseEverywhere(cluster *bed.Bed, percent float64) error {
	var errs []error
	for _, n := range cluster.Nodes() {
		errs = append(errs, n.Loss(percent))
	}
	return errors.Join(errs...)
}

// staleness compares every read with the writes that were acknowledged before it began.
type staleness struct {
	clients []*client.Client
	writer  *client.Client
	keys    [staleKeys]acknowledged

	reads, hits, failed atomic.Int64
	writes              atomic.Int64
	worst               maximum // of all reads
	worstL1             maximum
}

// acknowledged are a key's writes, the newest last.
type acknowledged struct {
	mu     sync.RWMutex
	writes []ack // guarded by mu
}

type ack struct {
	version client.Version
	at      time.Time // when it was known to the writer
}

// maximum is of durations.
type maximum struct{ nanos atomic.Int64 }

func (m *maximum) note(d time.Duration) {
	for {
		now := m.nanos.Load()
		if int64(d) <= now || m.nanos.CompareAndSwap(now, int64(d)) {
			return
		}
	}
}

func staleKey(i int) string { return fmt.Sprintf("stale-%d", i) }

// write stores a new value and files it.
func (s *staleness) write(ctx context.Context, i int) error {
	key := &s.keys[i]
	version, err := s.writer.Put(ctx, staleKey(i), make([]byte, 100))
	if errors.Is(err, client.ErrTimeout) || errors.Is(err, client.ErrOutcomeUnknown) {
		return nil // it may be seen, and need not be
	}
	if err != nil {
		return err
	}
	key.mu.Lock()
	key.writes = append(key.writes, ack{version, time.Now()})
	key.mu.Unlock()
	s.writes.Add(1)
	return nil
}

// oldBy is how long before a read began what it returned had been replaced.
func (a *acknowledged) oldBy(read client.Version, begun time.Time) time.Duration {
	a.mu.RLock()
	defer a.mu.RUnlock()
	old := time.Duration(0)
	for i := len(a.writes) - 1; i >= 0 && a.writes[i].version > read; i-- {
		old = max(old, begun.Sub(a.writes[i].at))
	}
	return old
}

func (s *staleness) read(ctx context.Context, c *client.Client, i int, buffer []byte) error {
	begun := time.Now()
	item, err := c.GetInto(ctx, staleKey(i), buffer)
	if errors.Is(err, client.ErrTimeout) {
		s.failed.Add(1)
		return nil
	}
	if err != nil {
		return err
	}
	s.reads.Add(1)
	old := s.keys[i].oldBy(item.Version, begun)
	s.worst.note(old)
	if item.FromL1 {
		s.hits.Add(1)
		s.worstL1.note(old)
	}
	return nil
}

// measure warms L1 up, and reads and writes for a time.
func (s *staleness) measure(ctx context.Context, rate int, lasts time.Duration) error {
	for i := range staleKeys {
		if err := persist(ctx, func() error { return s.write(ctx, i) }); err != nil {
			return err
		}
	}
	if err := s.run(ctx, rate, 3*time.Second); err != nil {
		return err
	}
	s.reads.Store(0)
	s.hits.Store(0)
	s.failed.Store(0)
	s.writes.Store(0)
	s.worst.nanos.Store(0)
	s.worstL1.nanos.Store(0)
	return s.run(ctx, rate, lasts)
}

func (s *staleness) run(ctx context.Context, rate int, lasts time.Duration) error {
	ended := make(chan error, 1)
	go func() {
		ended <- pace(ctx, staleWrites, 4, lasts, func(_ int, random *rand.Rand) error {
			return s.write(ctx, random.IntN(staleKeys))
		})
	}()
	buffers := make([][]byte, staleWorkers)
	err := pace(ctx, rate, staleWorkers, lasts, func(w int, random *rand.Rand) error {
		if buffers[w] == nil {
			buffers[w] = make([]byte, 100)
		}
		return s.read(ctx, s.clients[w%len(s.clients)], random.IntN(staleKeys), buffers[w])
	})
	return errors.Join(err, <-ended)
}

func (s *staleness) resent() (n uint64) {
	for _, c := range s.clients {
		n += c.Counters().Resent
	}
	return n
}

// report files the worst read. A run that L1 had no part in is no run.
func (s *staleness) report(b *boss, id string, wanted int) error {
	reads, hits, writes := s.reads.Load(), s.hits.Load(), s.writes.Load()
	var invalidations, flushes uint64
	for _, c := range s.clients {
		invalidations, flushes = invalidations+c.Counters().Invalidations, flushes+c.Counters().Flushes
	}
	switch {
	case reads < int64(wanted)*9/10:
		return fmt.Errorf("%s: %d reads of %d (%d timed out)", id, reads, wanted, s.failed.Load())
	case hits < reads/2:
		return fmt.Errorf("%s: L1 answered %d of %d reads only", id, hits, reads)
	case writes < staleKeys:
		return fmt.Errorf("%s: only %d writes were acknowledged", id, writes)
	}
	worst := time.Duration(s.worst.nanos.Load())
	if worst > staleL1Time {
		return fmt.Errorf("%s: a read was stale by %v: L1 keeps nothing for longer than %v", id, worst, staleL1Time)
	}
	b.figure(id, float64(worst)/float64(time.Millisecond), reads,
		"%d reads, %.0f %% of them from L1 (worst of these %.1f ms), %d timed out; %d acknowledged writes; clients heard %d invalidations and %d flushes so far",
		reads, 100*float64(hits)/float64(reads), float64(s.worstL1.nanos.Load())/1e6, s.failed.Load(), writes, invalidations, flushes)
	return nil
}
