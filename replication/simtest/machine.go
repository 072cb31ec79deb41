package simtest

import (
	"fmt"
	"slices"

	"gannet/replication"
	"gannet/ring"
)

// machine is a host with both processes; it carries out what its Node wants.
type machine struct {
	w      *world
	id     uint64
	member ring.Member

	rate    float64 // of the boot clock
	offset  int64
	life    uint64 // of the control process
	running bool   // the control process runs
	powered bool
	paused  bool // the control process is stopped
	frozen  bool // the data plane, too
	defers  []func()
	frosted []func() // what waits for the data plane

	inbox    []delivery
	stepping bool
	records  []record // of the delivery that is being carried out

	node       *replication.Node
	controller *replication.Controller
	remembered []byte
	positions  map[uint64][]uint64 // on the board
	dp         *dataPlane

	applies []order
	pieces  [shards][]piece
	reading bool
	scans   map[uint64]*scan // by receiver
	leave   bool
}

// piece is what was read from a shard's log at once.
type piece struct {
	upto    uint64
	records []record
}

type scan struct {
	id      uint64
	at      int
	tombs   bool
	records []record
}

const recordBytes = 1000

func newMachine(w *world, member ring.Member) *machine {
	m := &machine{w: w, id: member.ID, member: member, rate: 1 + (w.rng.Float64()-0.5)/1000, offset: w.between(second, 1000*second)}
	m.dp = newDataPlane(m)
	w.every(10*millisecond, func() {
		if m.running && !m.paused {
			m.readLog()
			m.event(replication.Tick{})
			m.controllerEvent(replication.Tick{})
		}
	})
	w.every(500*millisecond, func() {
		if m.running && !m.paused {
			m.w.etcd.keepLease(m)
			m.w.etcd.read(m)
		}
	})
	return m
}

// local is the boot clock.
func (m *machine) local() int64 { return m.offset + int64(float64(m.w.now)*m.rate) }

// answers tells whether both processes' kernel sockets are there.
func (m *machine) answers() bool { return m.powered && m.running }

// boot starts both processes.
func (m *machine) boot(cold bool) {
	m.powered = true
	if cold {
		m.dp.wipe()
		m.positions = map[uint64][]uint64{}
	}
	m.dp.start()
	m.startControl(cold)
}

// startControl starts the control process beside the data plane that runs.
func (m *machine) startControl(cold bool) {
	m.life++
	m.running = true
	m.inbox, m.applies = nil, nil
	m.scans = map[uint64]*scan{}
	m.pieces = [shards][]piece{}
	origin := replication.Origin{Self: m.id, Life: m.life<<40 | uint64(m.w.now/millisecond), Shards: shards, Remembered: m.remembered, Positions: m.positions}
	node, err := replication.NewNode(m.w.cfg, origin, m.local())
	if err != nil {
		m.w.check.fail("a node cannot read its own state: %v", err)
		return
	}
	m.node = node
	m.controller = replication.NewController(m.w.cfg, m.id, m.local())
	m.event(replication.DataPlane{Up: true, Cold: cold, SinceNanos: m.dp.since})
	m.event(replication.Want{Leave: m.leave})
	for s := range uint16(shards) {
		m.dp.log[s] = nil // what was not read is found again by repair
		m.event(replication.LogAt{Shard: s, Upto: m.dp.version[s]})
	}
	m.w.etcd.keepLease(m)
	m.w.etcd.read(m)
	m.w.note("boot", m.id)
}

// stopControl is the death of the control process.
func (m *machine) stopControl(reset bool) {
	if !m.running {
		return
	}
	m.running = false
	m.life++
	m.defers = nil
	m.paused = false
	m.w.net.breakLinks(m, reset)
}

// die is the death of both processes.
func (m *machine) die(powerOff bool) {
	m.stopControl(!powerOff)
	m.frozen, m.frosted = false, nil
	m.dp.running = false
	m.powered = !powerOff
	m.w.note("die", m.id)
}

// serve lets the data plane do something, once it is not stopped.
func (m *machine) serve(do func()) {
	switch {
	case !m.dp.running:
	case m.frozen:
		m.frosted = append(m.frosted, do)
	default:
		do()
	}
}

func (m *machine) thaw() {
	m.frozen = false
	waiting := m.frosted
	m.frosted = nil
	for _, do := range waiting {
		m.serve(do)
	}
}

// stall stops the data plane alone.
func (m *machine) stall(howLong int64) {
	if !m.dp.running || m.frozen {
		return
	}
	m.frozen = true
	life := m.life
	m.w.after(howLong, func() {
		if m.life == life && !m.paused {
			m.thaw()
		}
	})
}

// restartData is the death of the data plane alone, and its warm start.
func (m *machine) restartData(away int64) {
	if !m.running || m.paused || !m.dp.running {
		return
	}
	m.w.note("data plane restarts", m.id, uint64(away))
	m.dp.running, m.frozen, m.frosted = false, false, nil
	m.event(replication.DataPlane{})
	life := m.life
	m.w.after(away, func() {
		if m.life == life {
			m.dp.start()
			m.applies = nil // it maps another board
			m.event(replication.DataPlane{Up: true, SinceNanos: m.dp.since})
		}
	})
}

// pause stops the control process, and perhaps the data plane.
func (m *machine) pause(both bool, howLong int64) {
	if !m.running || m.paused {
		return
	}
	m.paused, m.frozen = true, both
	life := m.life
	m.w.note("pause", m.id, uint64(howLong))
	m.w.after(howLong, func() {
		if m.life != life {
			return
		}
		m.paused = false
		m.thaw()
		waiting := m.defers
		m.defers = nil
		for _, run := range waiting {
			run()
		}
	})
}

// event gives the Node an event; a process that is stopped gets it later.
func (m *machine) event(ev replication.Event) {
	if !m.running {
		return
	}
	if m.paused {
		if _, tick := ev.(replication.Tick); !tick && len(m.defers) < 2000 {
			life := m.life
			m.defers = append(m.defers, func() {
				if m.life == life {
					m.event(ev)
				}
			})
		}
		return
	}
	m.step(ev, nil)
}

// step lets the Node take an event and carries out what it wants. What that brings
// about in turn waits until it is done.
func (m *machine) step(ev replication.Event, records []record) {
	m.inbox = append(m.inbox, delivery{ev, records})
	if m.stepping {
		return
	}
	m.stepping = true
	for i := 0; i < len(m.inbox); i++ {
		next := m.inbox[i]
		for _, a := range m.node.Step(m.local(), next.ev) {
			m.records = next.records
			m.carryOut(a)
		}
	}
	clear(m.inbox)
	m.inbox, m.stepping = m.inbox[:0], false
}

// delivery is an event, and the records that its message carried.
type delivery struct {
	ev      replication.Event
	records []record
}

func (m *machine) controllerEvent(ev replication.Event) {
	if !m.running || m.paused {
		return
	}
	for _, a := range m.controller.Step(m.local(), ev) {
		switch v := a.(type) {
		case replication.Swap:
			m.w.etcd.swap(m, v.Record)
		case replication.Frozen:
			m.w.note("frozen: "+v.Why, m.id)
		}
	}
}

func (m *machine) carryOut(a replication.Action) {
	switch v := a.(type) {
	case replication.Publish:
		m.publish(v)
	case replication.SetFence:
		m.dp.fence = v.Nanos
	case replication.SetHeld:
		m.w.check.heldChanged(m, m.dp.held, v.Ranges)
		m.dp.held = v.Ranges
	case replication.SetDegraded:
		m.dp.degraded = v.Ranges
	case replication.SetLacking:
		m.dp.lacking = v.Ranges
	case replication.SetSync:
		m.dp.sync = v.UntilNanos
	case replication.SetReplicated:
		m.dp.replicated[v.Shard] = v.Upto
		m.dp.wakeWaiting()
	case replication.Remember:
		m.remembered = v.State
	case replication.Renew:
		m.w.etcd.renew(m, v.Revision)
	case replication.ReadRing:
		m.w.etcd.read(m)
	case replication.Probe:
		m.probe(m.w.byID[v.To])
	case replication.Send:
		m.send(v)
	default:
		m.carryOutItems(a)
	}
}

func (m *machine) carryOutItems(a replication.Action) {
	switch v := a.(type) {
	case replication.SendBatch:
		m.sendRecords(v.To, v.Batch, m.recordsOf(v))
	case replication.SendPart:
		if s := m.scans[v.To]; s != nil && s.id == v.Part.ID {
			m.sendRecords(v.To, v.Part, s.records)
		}
	case replication.Apply:
		m.w.check.applies(m, v.Batch)
		m.enqueue(nil, nil, m.records, replication.Applied{From: v.From, Life: v.Batch.Life, Shard: v.Batch.Shard, Upto: v.Batch.Upto})
	case replication.ApplyPart:
		if v.Part.Last {
			m.w.check.endsRepair(m, v, m.records)
		}
		var stretch []record
		if v.Replace {
			stretch = m.records
		}
		m.enqueue(stretch, v.Part.Upto, m.records, replication.PartApplied{From: v.From, ID: v.Part.ID, Number: v.Part.Number})
	case replication.Drop:
		m.applyAll(len(m.applies))
		m.dp.drop(v.Ranges)
	case replication.Scan:
		m.scan(v)
	case replication.StopScan:
		delete(m.scans, v.To)
	case replication.Retain:
		m.retain(v)
	}
}

func (m *machine) publish(v replication.Publish) {
	m.readLog()
	m.w.check.published(m, m.dp.ring, v.Record.Ring)
	m.dp.publish(v.Record.Ring)
	m.w.after(m.w.between(100*microsecond, 3*millisecond), func() {
		m.event(replication.Drained{Epoch: v.Record.Epoch()})
	})
}

// probe asks over the data path. A dead process on a living machine refuses.
func (m *machine) probe(to *machine) {
	if to == nil {
		return
	}
	life := m.life
	back := func(ev replication.Event) {
		m.w.net.datagram(to.id, m.id, func() {
			if m.life == life {
				m.w.check.sawLife(m, to, ev)
				m.event(ev)
			}
		})
	}
	m.w.net.datagram(m.id, to.id, func() {
		switch {
		case !to.powered || to.frozen:
		case !to.dp.running:
			back(replication.Traced{Of: to.id, Sign: replication.PortUnreachable})
		default:
			back(replication.Heard{From: to.id, Over: replication.DataPath})
		}
	})
}

func (m *machine) send(v replication.Send) {
	switch v.Over {
	case replication.Gossip:
		to := m.w.byID[v.To]
		m.w.check.said(m, v)
		m.w.net.datagram(m.id, v.To, func() {
			ev := replication.Received{From: m.id, Message: v.Message}
			m.w.check.sawLife(to, m, ev)
			to.event(ev)
		})
	case replication.Stream:
		if a, ok := v.Message.(replication.PartAck); ok {
			m.w.check.takesPart(m, a)
			m.w.check.repaired(m, v.To, a)
		}
		m.sendRecords(v.To, v.Message, nil)
	case replication.ToController:
		report := v.Message.(replication.Report)
		m.w.check.reported(m, report)
		to := m.w.byID[m.w.etcd.leader]
		if to == nil {
			return
		}
		deliver := func() { to.controllerEvent(replication.Reported{Report: report}) }
		if to == m {
			m.w.after(1, deliver)
		} else {
			m.w.net.datagram(m.id, to.id, deliver)
		}
	}
}

// sendRecords sends a message of a stream, with the records it carries.
func (m *machine) sendRecords(to uint64, msg replication.Message, records []record) {
	other := m.w.byID[to]
	if other == nil {
		return
	}
	m.w.net.stream(m.id, to, func() { other.receive(m.id, msg, records) })
}

// receive lets the Node decide about records, and applies those it lets in.
func (m *machine) receive(from uint64, msg replication.Message, records []record) {
	if m.paused {
		life := m.life
		m.defers = append(m.defers, func() {
			if m.life == life {
				m.receive(from, msg, records)
			}
		})
		return
	}
	if m.running {
		if _, often := msg.(replication.Ack); !often && m.w.check.verbose != nil {
			m.w.tell("  message", fmt.Sprintf("%d to %d %T %+v", from, m.id, msg, msg))
		}
		m.step(replication.Received{From: from, Message: msg}, records)
	}
}

// order waits in the apply queue for the data plane.
type order struct {
	replace []record // whose stretch gives way first
	upto    []uint64
	records []record
	done    replication.Event
}

// enqueue hands an order to the data plane, which takes it a moment later.
func (m *machine) enqueue(replace []record, upto []uint64, records []record, done replication.Event) {
	m.applies = append(m.applies, order{replace, upto, records, done})
	if len(m.applies) > 1 {
		return
	}
	life, delay := m.dp.since, m.w.between(20*microsecond, 500*microsecond)
	if m.w.chance(0.005) {
		delay += m.w.between(0, 300*millisecond) // the queue is full
	}
	m.w.after(delay, func() {
		m.serve(func() {
			if m.dp.since == life {
				m.applyAll(len(m.applies))
			}
		})
	})
}

func (m *machine) applyAll(count int) {
	orders := m.applies[:count]
	m.applies = nil
	for _, o := range orders {
		m.apply(o)
	}
}

func (m *machine) apply(o order) {
	late := false
	if part, ok := o.done.(replication.PartApplied); ok {
		late = m.w.check.appliesPart(m, o.records, part)
	}
	if o.replace != nil {
		m.dp.replace(o.replace, o.upto)
	}
	for _, r := range o.records {
		if r.key != nil {
			m.dp.apply(r, late)
		}
	}
	if a, ok := o.done.(replication.Applied); ok {
		m.keepPosition(a)
	}
	m.event(o.done)
}

func (m *machine) keepPosition(a replication.Applied) {
	if m.positions[a.From] == nil {
		m.positions[a.From] = make([]uint64, shards)
	}
	m.positions[a.From][a.Shard] = a.Upto
}

func (m *machine) readLogSoon() {
	if m.reading || !m.running {
		return
	}
	m.reading = true
	m.w.after(m.w.between(200*microsecond, 3*millisecond), func() {
		m.reading = false
		if m.running && !m.paused {
			m.readLog()
		}
	})
}

func (m *machine) readLog() {
	for s := range uint16(shards) {
		records := m.dp.log[s]
		if len(records) > 0 {
			m.dp.log[s] = nil
			p := piece{records[len(records)-1].version, records}
			m.pieces[s] = append(m.pieces[s], p)
			m.event(replication.Appended{Shard: s, Upto: p.upto, Bytes: recordBytes * len(records), BornNanos: records[0].at})
		}
		m.event(replication.LogRead{Shard: s, AtNanos: m.local()})
	}
}

func (m *machine) recordsOf(v replication.SendBatch) []record {
	var out []record
	for _, p := range m.pieces[v.Batch.Shard] {
		if p.upto <= v.Batch.After || p.upto > v.Batch.Upto {
			continue
		}
		for _, r := range p.records {
			if v.Ranges.Contains(r.key.hash) {
				out = append(out, r)
			}
		}
	}
	return out
}

func (m *machine) retain(v replication.Retain) {
	m.pieces[v.Shard] = slices.DeleteFunc(m.pieces[v.Shard], func(p piece) bool { return p.upto <= v.From })
}

// scan reads the next piece: the tombstones first, then some items at a time.
func (m *machine) scan(v replication.Scan) {
	s := m.scans[v.To]
	if s == nil || s.id != v.ID {
		s = &scan{id: v.ID}
		m.scans[v.To] = s
	}
	ranges := replication.NewRangeSet(v.Ranges)
	upto := slices.Clone(m.dp.version[:])
	// The first record names the stretch.
	s.records = []record{{from: s.at, ranges: ranges, at: m.w.now}}
	wants := func(k *key, version uint64) bool {
		return ranges.Contains(k.hash) && (v.Above == nil || version > v.Above[k.shard])
	}
	if !s.tombs {
		s.tombs = true
		for _, k := range m.w.keys {
			if t, ok := m.dp.tombs[k]; ok && wants(k, t.version) && m.local()-t.at < m.dp.tombLife() {
				s.records = append(s.records, record{key: k, version: t.version, deleted: true})
			}
		}
	}
	for ; s.at < len(m.w.keys) && len(s.records) < 7; s.at++ {
		if it, ok := m.dp.items[m.w.keys[s.at]]; ok && wants(m.w.keys[s.at], it.version) {
			s.records = append(s.records, record{key: m.w.keys[s.at], version: it.version})
		}
	}
	s.records[0].to = s.at
	done := replication.Scanned{To: v.To, ID: v.ID, Bytes: recordBytes * len(s.records), Records: uint32(len(s.records)), Last: s.at == len(m.w.keys), Upto: upto}
	life, since := m.life, m.dp.since
	delay := m.w.between(100*microsecond, 5*millisecond)
	if m.w.chance(0.05) && !m.w.calm {
		delay += m.w.between(0, m.w.cfg.TombstoneNanos)
	}
	if m.w.chance(0.02) && !m.w.calm {
		delay += m.w.between(m.w.cfg.TombstoneNanos, 2*m.w.cfg.TombstoneNanos)
	}
	m.w.after(delay, func() {
		if m.life == life && m.dp.running && m.dp.since == since {
			m.event(done)
		}
	})
}
