package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gannet/client"
	"gannet/client/clienttest"
	"gannet/ring"
	"gannet/wire"
)

const (
	troubleNodes   = 3
	troubleKeys    = 3000
	troubleWorkers = 256
	troubleRate    = 2000 // calls a second
	troubleDelay   = 50 * time.Millisecond
	// flapRequests is after how many requests the flapping node changes its mind.
	flapRequests = 200
	retryShare   = client.DefaultRetryShare
)

// trouble is what one of the nodes does, on a script: nodes in this process, with a
// network that does as it is told.
type trouble struct {
	name   string
	faults func() clienttest.Faults
}

var troubles = []trouble{
	{"answers in 50 ms", delayed},
	{"never answers", func() clienttest.Faults { return clienttest.Faults{LoseRequests: 1} }},
	{"flaps", func() clienttest.Faults {
		n := 0 // used under the node's lock
		return clienttest.Faults{Request: func(*wire.Request) bool { n++; return n/flapRequests%2 == 1 }}
	}},
}

func delayed() clienttest.Faults {
	return clienttest.Faults{Delay: func([]byte) time.Duration { return troubleDelay }}
}

// patients are the nodes and a client of them.
type patients struct {
	nodes  []*clienttest.Server
	client *client.Client
}

// withPatients starts nodes that hold all keys, each with two replicas.
func withPatients(use func(*patients) error) (err error) {
	p := &patients{}
	defer func() {
		if p.client != nil {
			err = errors.Join(err, p.client.Close())
		}
		for _, n := range p.nodes {
			n.Close()
		}
	}()
	var members []ring.Member
	for i := range troubleNodes {
		n, err := clienttest.Start(clienttest.Config{NodeID: uint64(i + 1)})
		if err != nil {
			return err
		}
		p.nodes, members = append(p.nodes, n), append(members, n.Member())
	}
	r, err := ring.New(1, members)
	if err != nil {
		return err
	}
	for _, n := range p.nodes {
		n.SetRing(r)
		for i := range troubleKeys {
			n.Set(troubleKey(i), make([]byte, 100))
		}
	}
	if p.client, err = client.Open([]string{p.nodes[0].Addr()}); err != nil {
		return err
	}
	return use(p)
}

func troubleKey(i int) string { return fmt.Sprintf("key-%d", i) }

// load is what came of some seconds of calls.
type callLoad struct {
	calls, failedReads, failedWrites int64
	reads                            []time.Duration
	extra                            float64 // datagrams beyond one a call, as a share of the calls
}

// run calls at the rate for a time: reads, and writes as one in so many; 0: none.
func (p *patients) run(ctx context.Context, lasts time.Duration, writesOneIn int) (l callLoad, err error) {
	var calls, failedReads, failedWrites atomic.Int64
	var mu sync.Mutex
	before := p.client.Counters().Sent
	err = pace(ctx, troubleRate, troubleWorkers, lasts, func(_ int, random *rand.Rand) error {
		key := troubleKey(random.IntN(troubleKeys))
		calls.Add(1)
		if writesOneIn > 0 && random.IntN(writesOneIn) == 0 {
			if _, err := p.client.Put(ctx, key, make([]byte, 100)); err != nil {
				failedWrites.Add(1)
			}
			return nil
		}
		begun := time.Now()
		if _, err := p.client.Get(ctx, key); err != nil {
			failedReads.Add(1)
		}
		took := time.Since(begun)
		mu.Lock()
		l.reads = append(l.reads, took)
		mu.Unlock()
		return nil
	})
	l.calls, l.failedReads, l.failedWrites = calls.Load(), failedReads.Load(), failedWrites.Load()
	l.extra = float64(int64(p.client.Counters().Sent-before)-l.calls) / float64(max(l.calls, 1))
	if wanted := int64(lasts.Seconds() * troubleRate); err == nil && l.calls < wanted*9/10 {
		err = fmt.Errorf("%d calls of %d: the machine is too busy", l.calls, wanted)
	}
	return l, err
}

// checkRetries counts every datagram that the client sends while a node is in trouble,
// from its beginning on: hedges, retries, repetitions, probes, questions for the ring.
func checkRetries(ctx context.Context, e *env) error {
	lasts := 6 * time.Second
	if e.full {
		lasts = 60 * time.Second
	}
	worst, note, total := 0.0, "", int64(0)
	for _, t := range troubles {
		err := withPatients(func(p *patients) error {
			if _, err := p.run(ctx, 2*time.Second, 10); err != nil { // it knows them by then
				return err
			}
			p.nodes[2].SetFaults(t.faults())
			l, err := p.run(ctx, lasts, 10)
			if err != nil {
				return err
			}
			avoided := p.client.Counters().Avoided
			if avoided == 0 {
				return fmt.Errorf("%s: the breaker never opened", t.name)
			}
			worst, total = max(worst, l.extra), total+l.calls
			note += fmt.Sprintf("%s: %.2f %% (%d of %d reads failed, %d writes, which have no other node); ", t.name, 100*l.extra, l.failedReads, len(l.reads), l.failedWrites)
			return nil
		})
		if err != nil {
			return fmt.Errorf("a node that %s: %w", t.name, err)
		}
	}
	e.table.AtMost("retry_share", worst, retryShare, total, "of the calls", note+"one node of three, every datagram beyond one a call counted")
	return nil
}

// checkSlowNode compares the p99 of reads while a node's breaker is open with that
// while the node is well, round about.
func checkSlowNode(ctx context.Context, e *env) error {
	rounds, lasts := 10, time.Second
	if e.full {
		rounds, lasts = 20, 5*time.Second
	}
	return withPatients(func(p *patients) error {
		var costs []float64 // of a round each: what is near in time is compared
		var well, ill []time.Duration
		hedged := [2]uint64{}
		n := int64(0)
		for round := range rounds {
			var took [2]time.Duration
			for turn := range 2 {
				slow := (round + turn) % 2 // the order changes, too
				if err := p.settle(ctx, slow == 1); err != nil {
					return err
				}
				before := p.client.Counters().Hedged
				l, err := p.run(ctx, lasts, 0)
				if err != nil {
					return err
				}
				n += l.calls
				hedged[slow] += p.client.Counters().Hedged - before
				took[slow] = quantile(l.reads, .99)
			}
			well, ill = append(well, took[0]), append(ill, took[1])
			costs = append(costs, float64(took[1])/float64(took[0]))
		}
		slices.Sort(costs)
		e.table.AtMost("slow_node_cost", costs[len(costs)/2], 1.1, n, "× p99", fmt.Sprintf(
			"p99 of reads with a node that takes %v and is left out, by that with all three well, median of %d rounds of both (%.2f to %.2f); medians %v and %v; %d and %d reads of all were sent to a second replica",
			troubleDelay, rounds, costs[0], costs[len(costs)-1], quantile(ill, .5), quantile(well, .5), hedged[1], hedged[0]))
		return nil
	})
}

// settle makes a node slow, or well again, and reads until its breaker has noticed.
func (p *patients) settle(ctx context.Context, slow bool) error {
	p.nodes[2].SetFaults(clienttest.Faults{})
	if slow {
		p.nodes[2].SetFaults(delayed())
	}
	for range 20 {
		before, asked := p.client.Counters().Avoided, p.nodes[2].Count(wire.Get)
		if _, err := p.run(ctx, 500*time.Millisecond, 0); err != nil {
			return err
		}
		avoided := p.client.Counters().Avoided > before
		if avoided == slow && (!slow || p.nodes[2].Count(wire.Get) == asked) {
			return nil
		}
	}
	return fmt.Errorf("the breaker does not follow the node (slow: %t)", slow)
}
