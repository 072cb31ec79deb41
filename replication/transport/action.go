package transport

import (
	"cmp"
	"slices"

	"gannet/board"
	"gannet/replication"
	"gannet/ring"
)

// perform carries out one action.
func (d *Driver) perform(a replication.Action) {
	switch a := a.(type) {
	case replication.Publish:
		d.publish(a.Record)
	case replication.SetFence:
		d.cfg.Board(func(b *board.Board) { b.Fence().Set(a.Nanos) })
	case replication.SetHeld:
		d.held = slices.Clone(a.Ranges)
		d.counts.held.Store(shareOf(d.held))
		d.cfg.Board(d.publishSpans)
		d.wakeAll()
	case replication.SetDegraded:
		d.degraded = slices.Clone(a.Ranges)
		d.counts.degraded.Store(shareOf(d.degraded))
		d.cfg.Board(d.publishSpans)
	case replication.SetLacking:
		d.lacking = slices.Clone(a.Ranges)
		d.counts.lacking.Store(shareOf(d.lacking))
		d.cfg.Board(d.publishSpans)
	case replication.SetSync:
		d.setSync(a.UntilNanos)
	case replication.SetReplicated:
		d.setReplicated(int(a.Shard), a.Upto)
	case replication.Renew:
		d.cfg.Renew(a.Revision)
	case replication.ReadRing:
		d.cfg.ReadRing()
	case replication.Remember:
		d.cfg.Remember(a.State, d.memoryID)
	case replication.Probe:
		d.probe(a.To)
	default:
		d.performStream(a)
	}
}

// setReplicated tells a shard what its followers have, and wakes it when it keeps
// acknowledgements back for that.
func (d *Driver) setReplicated(shard int, upto uint64) {
	patient := false
	d.cfg.Board(func(b *board.Board) {
		b.Replicated(shard).Set(upto)
		patient = b.Heartbeat(shard).Patient() // looked at after the above: see there
	})
	if !patient && d.cfg.Wake != nil {
		d.cfg.Wake(shard)
	}
}

func (d *Driver) performStream(a replication.Action) {
	switch a := a.(type) {
	case replication.Send:
		d.send(a)
	case replication.SendBatch:
		d.sendBatch(a)
	case replication.SendHints:
		d.sendHints(a)
	case replication.SendPart:
		a.Part.Payload, a.Part.Records = d.scanner.take(a.To, a.Part.ID)
		d.counts.sentBytes.Add(uint64(len(a.Part.Payload)))
		d.counts.sentParts.Add(1)
		d.mesh.send(a.To, a.Part)
	case replication.Apply:
		d.applier.add(a.Batch.Payload, 0, replication.Applied{From: a.From, Life: a.Batch.Life, Shard: a.Batch.Shard, Upto: a.Batch.Upto})
		d.moved()
	case replication.ApplyHints:
		d.applier.add(a.Hints.Payload, 0, nil)
	case replication.ApplyPart:
		if a.Replace && a.Part.Number == 0 {
			// What the leader does not have goes at once, and what it has follows: between
			// the two this follower has less than it might, and nothing that is wrong.
			d.applier.drop(d.repairs[a.From].Ranges, a.Part.Upto)
		}
		d.applier.add(a.Part.Payload, a.AsOfNanos, replication.PartApplied{From: a.From, ID: a.Part.ID, Number: a.Part.Number})
		d.moved()
	case replication.Drop:
		d.applier.drop(a.Ranges, nil)
	case replication.Scan:
		d.scanner.ask(a)
		d.moved()
	case replication.StopScan:
		d.scanner.stop(a.To, a.ID)
	case replication.Retain:
		if int(a.Shard) < len(d.logs) {
			d.logs[a.Shard].retain(a.From)
		}
	}
}

func (d *Driver) send(a replication.Send) {
	switch a.Over {
	case replication.Gossip:
		d.cfg.Gossip(a.To, replication.AppendMessage(nil, a.Message))
	case replication.Stream:
		d.mesh.send(a.To, a.Message)
	case replication.ToController:
		to := d.cfg.Controller()
		if report, ok := a.Message.(replication.Report); ok && to == d.cfg.Self {
			d.cfg.Reported(report)
			return
		}
		d.mesh.send(to, a.Message)
	}
}

func (d *Driver) sendBatch(a replication.SendBatch) {
	if int(a.Batch.Shard) >= len(d.logs) {
		return
	}
	a.Batch.Payload, a.Batch.Records = d.logs[a.Batch.Shard].batch(nil, a.Batch.After, a.Batch.Upto, a.Ranges)
	d.counts.sentBytes.Add(uint64(len(a.Batch.Payload)))
	d.mesh.send(a.To, a.Batch)
}

func (d *Driver) sendHints(a replication.SendHints) {
	if int(a.Hints.Shard) >= len(d.logs) {
		return
	}
	a.Hints.Payload, a.Hints.Records = appendOf(nil, d.logs[a.Hints.Shard].hints, a.Ranges)
	if a.Hints.Records > 0 {
		d.mesh.send(a.To, a.Hints)
	}
}

// publish puts a ring up, and keeps links to its members.
func (d *Driver) publish(rec replication.Record) {
	d.record = rec
	d.spare = standsIn(rec.Ring, d.cfg.Self)
	d.cfg.Publish(rec)
	d.replicating = d.followMembers() > 0
	d.adopt, d.adoptedAt = rec.Epoch(), 0
	d.cfg.Board(func(b *board.Board) { d.followLogs(b, d.cfg.Clock()) })
	d.wakeAll()
}

// followMembers keeps links to the ring's members and to the partners, and returns the
// number of the former.
func (d *Driver) followMembers() (others int) {
	follow := slices.Clone(d.partners)
	if d.record.Ring != nil {
		for _, m := range d.record.Ring.Members() {
			if m.ID != d.cfg.Self {
				others++
				follow = append(follow, m.ID)
				d.probes.set(m.ID, m.Addr)
			}
		}
	}
	d.mesh.follow(follow)
	return others
}

// wakeAll lets shards that sleep see at once what stands on the board.
func (d *Driver) wakeAll() {
	if d.cfg.Wake == nil {
		return
	}
	for shard := range d.logs {
		d.cfg.Wake(shard)
	}
}

// followLogs follows the shards' logs while there are others to tell.
func (d *Driver) followLogs(b *board.Board, now int64) {
	if b != d.board {
		return // lookAt attaches
	}
	for _, r := range d.logs {
		switch followed := r.queue.Followed(); {
		case d.replicating && (!followed || r.glancing):
			r.begin(now)
		case !d.replicating && followed:
			r.queue.Follow(d.watching)
			r.glancing = d.watching
		}
	}
	d.publishSpans(b)
}

func (d *Driver) probe(to uint64) { d.probes.probe(to) }

// setSync says until when acknowledgements are good. Where nobody follows, nothing is
// replicated and nothing is degraded.
func (d *Driver) setSync(untilNanos int64) {
	d.syncNanos = max(untilNanos, 1) // 0 would say that nothing is replicated
	d.counts.sync.Store(d.syncNanos)
	d.cfg.Board(d.publishSpans)
}

// publishSpans puts up what may not be written, what no follower gets and until when,
// what this follower lacks, and where it stands in.
func (d *Driver) publishSpans(b *board.Board) {
	area := b.Replication()
	d.counts.replicating.Store(d.replicating)
	if !d.replicating {
		area.SetSync(0)
		d.publishLists(area, nil, nil, nil)
		return
	}
	d.publishLists(area, d.degraded, d.lacking, d.spare)
	area.SetSync(max(d.syncNanos, 1))
}

// publishLists publishes the lists, unless these stand there already.
func (d *Driver) publishLists(area *board.Replication, degraded, lacking, spare []ring.Range) {
	spans := func(ranges []ring.Range) []board.Span { return spansOf(coarsen(ranges, board.MaxSpans)) }
	next := spanLists{d.board, spans(d.held), spans(degraded), spans(lacking), spans(spare)}
	if next.equal(&d.lists) {
		return
	}
	d.lists = next
	area.Publish(next.held, next.degraded, next.lacking, next.spare)
}

// spanLists are what stands on a board.
type spanLists struct {
	on                             *board.Board
	held, degraded, lacking, spare []board.Span
}

func (l *spanLists) equal(o *spanLists) bool {
	return l.on == o.on && slices.Equal(l.held, o.held) && slices.Equal(l.degraded, o.degraded) &&
		slices.Equal(l.lacking, o.lacking) && slices.Equal(l.spare, o.spare)
}

// coarsen joins the nearest ranges until there are few enough. All lists err on the
// safe side when they cover more.
func coarsen(ranges []ring.Range, most int) []ring.Range {
	if len(ranges) <= most {
		return ranges
	}
	gaps := make([]int, len(ranges)-1) // index of the range before the gap
	for i := range gaps {
		gaps[i] = i
	}
	slices.SortFunc(gaps, func(a, b int) int {
		return cmp.Compare(ranges[b+1].From-ranges[b].To, ranges[a+1].From-ranges[a].To)
	})
	keep := gaps[:most-1] // the widest gaps stay
	slices.Sort(keep)
	out := make([]ring.Range, 0, most)
	from := 0
	for _, g := range append(keep, len(ranges)-1) {
		out = append(out, ring.Range{From: ranges[from].From, To: ranges[g].To})
		from = g + 1
	}
	return out
}
