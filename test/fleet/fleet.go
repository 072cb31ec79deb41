package main

import (
	"math/rand/v2"
	"net/netip"
	"strconv"

	"gannet/replication"
	"gannet/ring"
)

// fleet is one simulation.
type fleet struct {
	model  model
	rules  replication.Config
	random *rand.Rand
	queue  queue
	etcd   etcd
	brain  controller
	nodes  []*node // in the order of their members' numbers
	byID   map[uint64]*node

	clients      []*client
	behind       int // clients whose ring is not the newest
	commitAt     map[uint32]int64
	failedAt     int64 // when nodes died that still serve in the newest ring; 0: none
	retargetAt   uint32
	standInsWait bool

	series  series
	tally   tally
	figures figures
}

// newFleet makes nodes that have not started and clients without a ring.
func newFleet(m model, seed uint64) *fleet {
	f := &fleet{
		model: m, rules: m.rules(), random: rand.New(rand.NewPCG(seed, 77)),
		byID: map[uint64]*node{}, commitAt: map[uint32]int64{},
	}
	f.etcd.sim = f
	f.etcd.watchers = append(f.etcd.watchers, f.brainSees)
	for range m.Nodes {
		f.addNode()
	}
	for i := range m.Clients {
		f.addClient(kind(i % int(kinds)))
	}
	f.queue.every(m.TickNanos, m.TickNanos, f.copyTick)
	return f
}

// hop is one way through the network.
func (f *fleet) hop() int64 { return f.model.HopNanos + f.random.Int64N(f.model.HopNanos+1) }

func (f *fleet) addNode() *node {
	number := len(f.nodes)
	n := &node{
		sim: f, silentSince: map[uint64]int64{},
		member: ring.Member{
			ID: f.random.Uint64() | 1, Name: "node-" + strconv.Itoa(number),
			Zone: string(rune('a' + number%f.model.Zones)), State: ring.Active, Shards: 16, Weight: 1,
			Addr:    netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(number >> 8), byte(number)}), 9800),
			Control: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(number >> 8), byte(number)}), 9741),
			Gossip:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(number >> 8), byte(number)}), 9742),
		},
	}
	f.nodes = append(f.nodes, n)
	f.byID[n.member.ID] = n
	f.etcd.watchers = append(f.etcd.watchers, n.sees)
	return n
}

// committed takes down a ring that etcd has now.
func (f *fleet) committed(rec replication.Record) {
	now, epoch := f.queue.now, rec.Epoch()
	f.commitAt[epoch] = now
	f.series.ring(now, rec.Ring)
	f.figures.Epochs++
	f.figures.noteBalance(rec.Ring.Stats())
	if f.failedAt != 0 && !f.deadServe(rec.Ring) {
		f.figures.RoutedNanos = now - f.failedAt
		f.figures.WritesNanos = now - f.failedAt + f.rules.FenceNanos + f.rules.MarginNanos
		f.failedAt = 0
	}
	f.queue.after(f.model.EtcdWatchNanos+f.model.DecodeNanos, func() { f.retarget(rec) })
	f.behind = len(f.clients)
	f.wakeClients()
}

// deadServe tells whether a node that is dead serves by this ring.
func (f *fleet) deadServe(r *ring.Ring) bool {
	for _, m := range r.Members() {
		if m.State.Serves() && !f.byID[m.ID].alive {
			return true
		}
	}
	return false
}

// busy tells whether clients may meet something other than the answer they expect.
func (f *fleet) busy() bool {
	return f.failedAt != 0 || f.behind > 0
}

// settled tells whether nothing is under way: all members active or down, all copies
// made, all clients up to date.
func (f *fleet) settled() bool {
	r := f.etcd.record.Ring
	if r == nil || f.retargetAt != r.Epoch() || f.busy() {
		return false
	}
	for _, m := range r.Members() {
		n := f.byID[m.ID]
		if m.State != ring.Active && m.State != ring.Down || n.alive && (m.State != ring.Active || !n.warm() || !n.idle()) {
			return false
		}
	}
	for _, n := range f.nodes {
		if n.restarting || n.alive && r.Member(n.member.ID) == nil {
			return false
		}
	}
	return true
}

// settle runs until the fleet is settled, at the most for so long.
func (f *fleet) settle(longestNanos int64) bool {
	f.queue.run(f.queue.now+longestNanos, f.settled)
	return f.settled()
}

func (f *fleet) pass(nanos int64) {
	until := f.queue.now + nanos
	f.queue.run(until, func() bool { return false })
	f.queue.now = until
}
