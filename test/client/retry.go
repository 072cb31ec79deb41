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
	rounds, lasts := 5, 2*time.Second
	if e.full {
		rounds, lasts = 20, 5*time.Second
	}
	return withPatients(func(p *patients) error {
		var well, ill []time.Duration
		n := int64(0)
		for range rounds {
			for _, with := range []bool{false, true} {
				if err := p.settle(ctx, with); err != nil {
					return err
				}
				l, err := p.run(ctx, lasts, 0)
				if err != nil {
					return err
				}
				if n += l.calls; with {
					ill = append(ill, quantile(l.reads, .99))
				} else {
					well = append(well, quantile(l.reads, .99))
				}
			}
		}
		value := float64(quantile(ill, 0)) / float64(quantile(well, 0))
		e.table.AtMost("slow_node_cost", value, 1.1, n, "× p99", fmt.Sprintf(
			"p99 of reads, best of %d rounds each: %v with a node that takes %v and is left out, %v with all three well (medians %v, %v)",
			rounds, quantile(ill, 0), troubleDelay, quantile(well, 0), quantile(ill, .5), quantile(well, .5)))
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
