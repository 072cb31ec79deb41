package main

import (
	"time"

	"gannet/replication"
)

// controller is the elected controller's real step code, and where it runs.
type controller struct {
	steps *replication.Controller // nil: none is elected
	host  *node
	term  int

	// What the steps cost the machine that simulates; not among the figures.
	count   int
	slowest time.Duration
	spent   time.Duration
}

// startBrain elects the controller of a node.
func (f *fleet) startBrain(host *node) {
	f.brain.steps, f.brain.host = replication.NewController(f.rules, host.member.ID, f.queue.now), host
	f.brain.term++
	term := f.brain.term
	f.brainStep(replication.Elected{Yes: true})
	f.brainRegisters()
	f.brainStep(replication.RecordSeen{Record: f.etcd.record, Linear: true})
	f.queue.every(f.model.TickNanos, f.model.TickNanos, func() bool {
		if f.brain.term == term {
			f.brainStep(replication.Tick{})
		}
		return f.brain.term == term
	})
}

func (f *fleet) brainStep(ev replication.Event) {
	if f.brain.steps == nil {
		return
	}
	begin := time.Now()
	actions := f.brain.steps.Step(f.queue.now, ev)
	took := time.Since(begin)
	f.brain.count++
	f.brain.spent += took
	f.brain.slowest = max(f.brain.slowest, took)
	for _, a := range actions {
		if swap, is := a.(replication.Swap); is {
			term := f.brain.term
			f.etcd.swap(swap.Record, func(done bool) {
				if f.brain.term == term {
					f.brainSees(f.etcd.record) // the answer has it
					f.brainStep(replication.Swapped{Done: done})
				}
			})
		}
	}
}

// brainSees is the controller's watch of the ring.
func (f *fleet) brainSees(rec replication.Record) {
	f.brainStep(replication.RecordSeen{Record: rec, Linear: true})
}

func (f *fleet) brainRegisters() {
	var list []replication.Registration
	for _, n := range f.nodes {
		if n.alive {
			list = append(list, replication.Registration{Member: n.member})
		}
	}
	f.brainStep(replication.Registered{Members: list})
}

func (f *fleet) brainHears(r replication.Report) { f.brainStep(replication.Reported{Report: r}) }

// brainLoses ends the controller if it ran on this node. One that stops in order
// gives its election up; else the lease must end, which etcd notices twice a second.
func (f *fleet) brainLoses(n *node, inOrder bool) {
	if f.brain.host != n {
		return
	}
	m := &f.model
	f.brain.steps, f.brain.host = nil, nil
	f.brain.term++
	wait := m.ElectionNanos
	if !inOrder {
		wait += m.LeaseNanos - f.random.Int64N(m.KeepAliveNanos) + f.random.Int64N(second/2)
	}
	f.queue.after(wait, func() {
		for {
			if host := f.nodes[f.random.IntN(len(f.nodes))]; host.alive {
				f.startBrain(host)
				return
			}
		}
	})
}
