package dataplane

import (
	"gannet/board"
	"gannet/shard"
	"gannet/wire"
)

// neighbor is what the loop has to do with the control process, over the board.
type neighbor struct {
	fence     *board.Fence
	pacing    *board.Pacing
	node      *board.Node
	heartbeat *board.Heartbeat
	apply     *board.Queue
	scan      *board.Scan
	beatNanos int64 // when the last heartbeat was

	scanSeen   uint64 // generation of the request that is served
	scanWanted board.ScanRequest
	scanning   bool
	scanBegun  bool // its MutationScanBegin is on the board
	cursor     shard.Cursor
	visit      func(shard.View) bool // bound once: a closure would be allocated each turn
	incoming   board.Mutation
	mutation   shard.Mutation
	outgoing   board.Mutation

	tombs       int // next place of a scan's tombstones; negative: they are through
	showTomb    func(hash, version uint64) bool
	inScan      shard.HashSet
	dropping    bool // a MutationDrop stands at the head of the apply queue
	dropSpans   []board.Span
	dropped     shard.Cursor
	dropUpto    []uint64 // by shard of the node that repairs this one
	inDrop      func(hash, version uint64) bool
	inDropSpans shard.HashSet

	uses        []byte // of a MutationReference being gathered
	usesNanos   int64
	replication *board.Replication
	replicated  *board.Replicated
	spansSeen   uint64 // generation of lists
	lists       board.SpanLists
	syncNanos   int64
	waits       waits
	collecting  bool // answers to writes go into collected
	collected   waiting
}

func (n *neighbor) init(l *Loop) {
	b, number := l.cfg.Board, l.cfg.Shard
	n.fence, n.pacing, n.node = b.Fence(), b.Pacing(), b.Node()
	n.heartbeat, n.apply, n.scan = b.Heartbeat(number), b.Apply(number), b.Scan(number)
	n.visit, n.showTomb = l.showItem, l.showTombstone
	n.inScan = func(hash uint64) bool { return board.InSpans(n.scanWanted.Spans, hash) }
	n.inDrop = n.drops
	n.inDropSpans = func(hash uint64) bool { return board.InSpans(n.dropSpans, hash) }
	n.replication, n.replicated = b.Replication(), b.Replicated(number)
	n.uses = make([]byte, 0, usesBytes)
	n.waits.list = make([]waiting, 0, maxWaits)
	n.heartbeat.SetPatient(true)
}

// rate returns the pacing rate of a request's reply: what the client grants, and
// no more than the control process allows.
func (n *neighbor) rate(req *wire.Request) uint32 {
	granted, most := req.GrantRateKbit, n.pacing.Rate(req.SessionID)
	if granted == 0 || (most != 0 && most < granted) {
		return most
	}
	return granted
}

// beat tells the watchdog and the XDP program that the loop turns.
func (l *Loop) beat() {
	n := &l.neighbor
	if l.nowNanos-n.beatNanos < beatNanos && n.beatNanos != 0 {
		return
	}
	n.beatNanos = l.nowNanos
	n.heartbeat.SetVersion(l.store.Version())
	n.heartbeat.SetTombstones(l.store.TombstonesSinceNanos())
	n.heartbeat.Beat(l.nowNanos, l.counts.n[board.CountTurns])
	if l.cfg.Stamp != nil {
		l.cfg.Stamp(l.nowNanos)
	}
}

// attend does what comes between batches, a bounded slice of each.
func (l *Loop) attend() (worked bool) {
	applied := l.applyMutations()
	scanned := l.scanSlice()
	l.tellUses()
	upkeep := l.store.Advance(l.nowNanos, advanceBudget)
	return applied || scanned || upkeep > 0
}

var recordOf = [...]shard.RecordKind{
	board.MutationPut: shard.RecordPut, board.MutationDelete: shard.RecordDelete, board.MutationTouch: shard.RecordTouch,
	board.MutationEvict: shard.RecordEvict, board.MutationExpire: shard.RecordExpire,
	board.MutationReference: shard.RecordUse,
}

// applyMutations does what the control process received for this shard.
func (l *Loop) applyMutations() (worked bool) {
	n := &l.neighbor
	if n.dropping {
		l.dropSlice()
		return true
	}
	for range applyPerTurn {
		ok, err := n.apply.PeekMutation(&n.incoming)
		if err != nil {
			l.counts.reason[ReasonBadApply]++
			return true
		}
		if !ok {
			return worked
		}
		worked = true
		switch n.incoming.Kind {
		case board.MutationDrop:
			n.dropping, n.dropped = true, shard.Cursor{}
			n.dropSpans, n.dropUpto = n.incoming.Drop(n.dropSpans[:0], n.dropUpto[:0])
			return true // it stays at the head until it is done
		case board.MutationReference:
			l.applyUses(&n.incoming)
		default:
			l.applyOne(&n.incoming)
		}
		n.apply.Pop()
	}
	return worked
}

// drops says whether the order under way takes an item.
func (n *neighbor) drops(hash, version uint64) bool {
	return board.InSpans(n.dropSpans, hash) &&
		(len(n.dropUpto) == 0 || version <= n.dropUpto[wire.ShardOf(hash, len(n.dropUpto))])
}

// dropSlice forgets some items of a MutationDrop. What follows it in the queue waits.
func (l *Loop) dropSlice() {
	n := &l.neighbor
	l.hot.changedIn(n.inDropSpans)
	if l.store.Forget(&n.dropped, n.inDrop, dropItemsTurn, l.nowNanos) {
		n.dropping = false
		n.apply.Pop()
	}
}

func (l *Loop) applyUses(m *board.Mutation) {
	for i := range m.References() {
		l.neighbor.mutation = shard.Mutation{Kind: shard.RecordUse, Hash: m.ReferenceHash(i)}
		l.store.Apply(&l.neighbor.mutation, l.nowNanos)
	}
}

func (l *Loop) applyOne(m *board.Mutation) {
	if int(m.Kind) >= len(recordOf) || recordOf[m.Kind] == 0 || wire.ShardOf(m.Hash, l.cfg.Shards) != l.cfg.Shard {
		l.counts.reason[ReasonBadApply]++
		return
	}
	l.neighbor.mutation = shard.Mutation{
		Kind: recordOf[m.Kind], Hash: m.Hash, Version: m.Version, Key: m.Key, Value: m.Value,
		TTLSeconds: m.TTLSeconds, SoftSeconds: m.SoftSeconds, AsOfNanos: int64(m.AsOfSeconds) * 1e9,
		Spare: m.Kind == board.MutationPut && l.neighbor.standsIn(m.Hash),
	}
	l.hot.changed(m.Hash)
	now := l.nowNanos
	if m.Kind == board.MutationDelete {
		now = l.clock() // a turn may have stood still, and AsOfNanos is compared with this
	}
	l.store.Apply(&l.neighbor.mutation, now)
	l.counts.n[board.CountApplied]++
}

// scanSlice shows the control process some of the deletes and items it asked for. It
// waits while the results have no room for the longest item.
func (l *Loop) scanSlice() (worked bool) {
	n := &l.neighbor
	if generation := n.scan.Generation(); generation != n.scanSeen {
		if n.scan.Request(&n.scanWanted) {
			n.scanSeen = generation
			n.scanning, n.scanBegun, n.cursor, n.tombs = n.scanWanted.ID != 0, false, shard.Cursor{}, 0
		}
	}
	if !n.scanning {
		return false
	}
	if n.scan.Results.Room() < l.cfg.MaxValueBytes+wire.MaxKeyBytes+64 {
		return false
	}
	if !n.scanBegun {
		begin := board.Mutation{Kind: board.MutationScanBegin, Version: n.scanWanted.ID}
		n.scanBegun = n.scan.Results.PushMutation(&begin)
		return n.scanBegun
	}
	if n.tombs >= 0 {
		if n.tombs = l.store.Tombstones(n.tombs, n.inScan, scanItemsTurn, l.nowNanos, n.showTomb); n.tombs == 0 {
			n.tombs = -1
		}
		return true
	}
	if l.store.Scan(&n.cursor, n.inScan, scanItemsTurn, l.nowNanos, n.visit) {
		end := board.Mutation{Kind: board.MutationScanEnd, Version: n.scanWanted.ID}
		n.scanning = !n.scan.Results.PushMutation(&end)
	}
	return true
}

// showTombstone puts a remembered delete of a scan on the board.
func (l *Loop) showTombstone(hash, version uint64) bool {
	n := &l.neighbor
	if version <= n.scanWanted.Above {
		return true
	}
	n.outgoing = board.Mutation{Kind: board.MutationDelete, Version: version, Hash: hash}
	l.counts.n[board.CountScanned]++
	return n.scan.Results.PushMutation(&n.outgoing)
}

// showItem puts one item of a scan on the board.
func (l *Loop) showItem(v shard.View) bool {
	n := &l.neighbor
	if v.Version <= n.scanWanted.Above {
		return true
	}
	n.outgoing = board.Mutation{
		Kind: board.MutationPut, Version: v.Version, Hash: v.Hash, Key: v.Key, Value: v.Value,
		TTLSeconds: relativeTTL(v.TTLSeconds), SoftSeconds: relativeTTL(v.SoftSeconds),
	}
	if n.scan.Results.Room() < n.outgoing.Bytes() {
		return false // shown first when there is room again
	}
	l.counts.n[board.CountScanned]++
	return n.scan.Results.PushMutation(&n.outgoing)
}

// relativeTTL turns the shard's "none" into the board's.
func relativeTTL(seconds uint32) uint32 {
	if seconds == shard.NoTTL {
		return 0
	}
	return seconds
}
