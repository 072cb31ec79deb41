package main

import (
	"container/heap"
	"math/rand/v2"

	"gannet/client"
)

// scene is a multi-get over many nodes through one link, packet by packet.
type scene struct {
	Nodes        int
	LinkBits     float64
	BufferBytes  int
	Keys         int
	ValueBytes   int
	DatagramData int     // value bytes of a datagram
	HeadBytes    int     // of a datagram on the wire, beside them
	RTTNanos     float64 // without queues
	JitterNanos  float64 // a node is late by this much on average
	ServerBits   float64 // how fast a node sends when nothing holds it back
	TurnNanos    float64 // of the data plane's loop: departures are late by up to that
	RetryNanos   float64 // after which what is missing is asked for again
	Share        float64 // of the link that grants give out
	Small        float64 // small packets of a neighbour a second
	Seed         uint64
}

// theLab is the network namespaces' own size.
var theLab = scene{
	Nodes: servers, LinkBits: bottleneckBits, BufferBytes: bufferBytes, Keys: multiKeys, ValueBytes: valueBytes,
	DatagramData: 1024, HeadBytes: datagramBytes - 1024, RTTNanos: 200e3, JitterNanos: 50e3, ServerBits: 5e9,
	TurnNanos: 20e3, RetryNanos: 2e6, Share: 0.98, Small: 250,
}

// theFleet is what cannot be built here: 200 nodes and a client on 100 Gb/s, behind
// a switch with 16 MB of buffer, of which one port gets a share.
var theFleet = scene{
	Nodes: 200, LinkBits: 100e9, BufferBytes: 1 << 20, Keys: 800, ValueBytes: valueBytes,
	DatagramData: 1024, HeadBytes: datagramBytes - 1024, RTTNanos: 10e3, JitterNanos: 1e3, ServerBits: 100e9,
	TurnNanos: 1e3, RetryNanos: 100e3, Share: 0.98, Small: 250e3,
}

// sight is what a simulated multi-get came to.
type sight struct {
	DoneNanos  float64
	IdealNanos float64
	Sent, Lost int
	QueueBytes int       // at worst
	Waits      []float64 // of the neighbour's packets in the queue, nanoseconds
}

type eventKind uint8

const (
	eventArrive eventKind = iota // a datagram reaches the bottleneck
	eventLeave                   // one reaches the client
	eventSmall                   // a neighbour's packet reaches the bottleneck
	eventRetry                   // the client asks again for what is missing
)

type event struct {
	atNanos float64
	order   int // breaks ties, so that a seed gives one outcome
	kind    eventKind
	node    int
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	if e[i].atNanos != e[j].atNanos {
		return e[i].atNanos < e[j].atNanos
	}
	return e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

// simulation is one multi-get under way. It is pure: seeded, and without a clock.
type simulation struct {
	scene
	mode     client.IncastMode
	random   *rand.Rand
	events   events
	order    int
	now      float64
	freeAt   float64 // when the link has sent all that is queued
	want     []int   // datagrams a node still owes
	got      []int   // of the last request's, arrived
	asked    []int   // datagrams of the last request
	pending  int     // nodes not begun, of a window
	inWindow int     // datagrams under way, of a window
	grantAt  float64 // when the link's time is given out to
	left     int
	out      sight
}

// simulate carries one multi-get out.
func simulate(s scene, mode client.IncastMode) sight {
	m := &simulation{scene: s, mode: mode, random: rand.New(rand.NewPCG(s.Seed, uint64(mode)))}
	m.want, m.got, m.asked = make([]int, s.Nodes), make([]int, s.Nodes), make([]int, s.Nodes)
	each := (s.ValueBytes + s.DatagramData - 1) / s.DatagramData
	for range s.Keys {
		m.want[m.random.IntN(s.Nodes)] += each // as a ring would deal them
		m.left += each
	}
	m.out.IdealNanos = m.wireNanos(m.left * m.datagram())
	m.begin()
	for m.left > 0 && len(m.events) > 0 {
		e := heap.Pop(&m.events).(event)
		m.now = e.atNanos
		m.happen(&e)
	}
	m.out.DoneNanos = m.now
	return m.out
}

func (m *simulation) datagram() int { return m.DatagramData + m.HeadBytes }

func (m *simulation) wireNanos(bytes int) float64 { return float64(bytes) * 8e9 / m.LinkBits }

func (m *simulation) at(nanos float64, kind eventKind, node int) {
	m.order++
	heap.Push(&m.events, event{nanos, m.order, kind, node})
}

func (m *simulation) begin() {
	if m.Small > 0 {
		m.at(m.random.ExpFloat64()*1e9/m.Small, eventSmall, 0)
	}
	if m.mode == client.IncastWindow {
		m.fillWindow()
		return
	}
	for node := range m.want {
		m.ask(node)
	}
}

// fillWindow asks as many nodes as the window takes.
func (m *simulation) fillWindow() {
	for m.pending < m.Nodes {
		need := m.want[m.pending]
		if m.inWindow > 0 && (m.inWindow+need)*m.DatagramData > client.WindowBytes {
			return
		}
		m.inWindow += need
		m.pending++
		m.ask(m.pending - 1)
	}
}

// ask requests what a node still owes, and lets its datagrams set out.
func (m *simulation) ask(node int) {
	n := m.want[node]
	if n == 0 {
		return
	}
	m.asked[node], m.got[node] = n, 0
	size := float64(m.datagram())
	gap, start, end := size*8e9/m.ServerBits, m.now+m.RTTNanos, 0.0
	late := m.random.ExpFloat64() * m.JitterNanos
	if m.mode == client.IncastGrants {
		gap = max(gap, size*8e9/(m.LinkBits*m.Share))
		start = max(start, m.grantAt)
		m.grantAt = start + float64(n)*gap
		end = m.grantAt
	}
	for i := range n {
		// A late node makes up for it, and each departure waits for the loop's turn.
		depart := max(start+float64(i)*gap, start+late+float64(i)*size*8e9/m.ServerBits)
		m.at(depart+m.random.Float64()*m.TurnNanos, eventArrive, node)
		end = max(end, depart)
	}
	m.at(end+m.RetryNanos, eventRetry, node)
}

func (m *simulation) happen(e *event) {
	switch e.kind {
	case eventArrive:
		m.arrive(e.node)
	case eventLeave:
		m.leave(e.node)
	case eventSmall:
		m.small()
	case eventRetry:
		m.retry(e.node)
	}
}

// queued is how many bytes wait for the link.
func (m *simulation) queued() int {
	return int(max(0, m.freeAt-m.now) * m.LinkBits / 8e9)
}

func (m *simulation) arrive(node int) {
	m.out.Sent++
	if m.queued()+m.datagram() > m.BufferBytes {
		m.out.Lost++
		return
	}
	m.freeAt = max(m.freeAt, m.now) + m.wireNanos(m.datagram())
	m.out.QueueBytes = max(m.out.QueueBytes, m.queued())
	m.at(m.freeAt, eventLeave, node)
}

func (m *simulation) leave(node int) {
	m.got[node]++
	if m.want[node] == 0 {
		return // asked for twice
	}
	m.want[node]--
	m.left--
	if m.mode == client.IncastWindow {
		m.inWindow--
		m.fillWindow()
	}
}

// retry asks again unless replies are still coming in.
func (m *simulation) retry(node int) {
	switch {
	case m.want[node] == 0:
	case m.queued() > 0 && m.mode != client.IncastGrants && m.freeAt > m.now+m.RetryNanos:
		m.at(m.freeAt, eventRetry, node) // what is missing may still stand in the queue
	default:
		m.ask(node)
	}
}

const smallPacketBytes = 330

func (m *simulation) small() {
	if m.queued()+smallPacketBytes <= m.BufferBytes {
		m.out.Waits = append(m.out.Waits, max(0, m.freeAt-m.now))
		m.freeAt = max(m.freeAt, m.now) + m.wireNanos(smallPacketBytes)
	}
	m.at(m.now+m.random.ExpFloat64()*1e9/m.Small, eventSmall, 0)
}
