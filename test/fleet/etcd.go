package main

import "gannet/replication"

// operation is what etcd is asked to do.
type operation int

const (
	opRenew     operation = iota // a fence: a transaction that compares and writes nothing
	opKeepAlive                  // a lease
	opRegister                   // a lease with a member's record
	opSwap                       // the ring
	opWatch                      // an event delivered to a watcher
	operations
)

var operationNames = [operations]string{"fence renewals", "lease keep-alives", "registrations", "ring swaps", "watch events"}

// etcd is the modelled configuration service: it answers everything, in order.
type etcd struct {
	sim      *fleet
	record   replication.Record
	watchers []func(replication.Record)
	total    [operations]int
	bytes    float64 // that watchers were sent
}

func (e *etcd) count(op operation) {
	e.total[op]++
	e.sim.series.count(e.sim.queue.now, op)
}

// swap puts a ring in the place of the one of its revision, and answers.
func (e *etcd) swap(r replication.Record, answer func(done bool)) {
	e.count(opSwap)
	q := &e.sim.queue
	q.after(e.sim.model.EtcdWriteNanos, func() {
		if r.Revision != e.record.Revision {
			answer(false)
			return
		}
		e.commit(r)
		answer(true)
	})
}

func (e *etcd) commit(r replication.Record) {
	m := &e.sim.model
	e.record = r
	e.record.Revision++
	e.sim.committed(e.record)
	size := float64(len(r.Ring.AppendEncode(nil)))
	for i, watcher := range e.watchers {
		e.count(opWatch)
		e.bytes += size
		record := e.record
		e.sim.queue.after(m.EtcdWatchNanos+int64(i)*m.EtcdFanOut+e.sim.hop(), func() { watcher(record) })
	}
}
