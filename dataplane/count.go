package dataplane

import (
	"gannet/board"
	"gannet/dataplane/port"
	"gannet/shard"
	"gannet/wire"
)

// counts are the loop's figures, plain words of its own; publish copies them to
// the board every 10 ms.
type counts struct {
	n          [board.NumCounters]uint64
	wire       [wire.ReasonCount]uint64
	reason     [NumReasons]uint64
	status     [wire.StatusCount]uint64
	portErrors uint64

	histograms [wire.OpcodeCount]histogram
	area       *board.Counters
	latencies  [wire.OpcodeCount]*board.Latency
	memory     *board.Memory
	hotKeys    *board.HotKeys

	published  int64
	slowly     int64
	drops      port.Drops
	hot        []shard.Hot
	hotLines   []board.Hot
	classes    []board.Class
	purposes   []board.Purpose
	room       []byte
	statsValue []byte
}

type histogram struct {
	buckets [board.LatencyBuckets]uint64
	dirty   bool
	sum     uint64
}

func (c *counts) init(b *board.Board, number int) {
	c.area, c.memory, c.hotKeys = b.Counters(number), b.ShardMemory(number), b.HotKeys(number)
	for op := range c.latencies {
		c.latencies[op] = b.Latency(number, op)
	}
	c.hot = make([]shard.Hot, 0, board.MaxHot)
	c.hotLines = make([]board.Hot, 0, board.MaxHot)
	c.classes = make([]board.Class, 0, 1024)
	c.purposes = make([]board.Purpose, 0, 8)
	c.room = make([]byte, 0, 64<<10)
	c.statsValue = make([]byte, 0, statsBytes)
}

// latencyRun is a number of operations that took as long: a batch often arrives at
// one moment.
type latencyRun struct {
	nanos int64
	count uint64
	code  wire.Opcode
}

// latency notes the time from arrival to reply, once for each operation.
func (c *counts) latency(r *latencyRun) {
	if r.count == 0 {
		return
	}
	h := &c.histograms[r.code%wire.OpcodeCount]
	nanos := max(0, r.nanos)
	h.buckets[board.LatencyBucket(nanos)] += r.count
	h.sum += uint64(nanos) * r.count
	h.dirty = true
}

// publish copies the figures to the board when it is time.
func (l *Loop) publish() {
	c := &l.counts
	if l.nowNanos-c.published < publishNanos && c.published != 0 {
		return
	}
	c.published = l.nowNanos
	l.publishCounters()
	for op := range c.histograms {
		if h := &c.histograms[op]; h.dirty {
			c.latencies[op].Write(&h.buckets, h.sum)
			h.dirty = false
		}
	}
	if l.nowNanos-c.slowly >= slowPublishNanos || c.slowly == 0 {
		c.slowly = l.nowNanos
		l.publishSlowly()
	}
}

func (l *Loop) publishCounters() {
	c := &l.counts
	l.takeShardStats(l.store.Stats())
	for id, v := range c.n {
		c.area.Set(board.Counter(id), v)
	}
	for i, v := range c.wire {
		c.area.SetIn(board.GroupWire, i, v)
	}
	for i, v := range c.reason {
		c.area.SetIn(board.GroupGuard, i, v)
	}
	for i, v := range c.status {
		c.area.SetIn(board.GroupStatus, i, v)
	}
	c.drops = l.change.past
	l.port.Drops(&c.drops)
	c.drops[port.DropTxError] += c.portErrors
	for i, v := range c.drops {
		c.area.SetIn(board.GroupPort, i, v)
	}
}

// takeShardStats copies the shard's own counters.
func (l *Loop) takeShardStats(s *shard.Stats) {
	n := &l.counts.n
	n[board.CountHits], n[board.CountStaleHits], n[board.CountMisses] = s.Hits, s.Stales, s.Misses
	n[board.CountItems] = s.Items
	n[board.CountEvictionsMemory] = s.ByDrop[shard.DropMemory] + s.ByDrop[shard.DropIndex]
	n[board.CountEvictionsCapacity] = s.ByDrop[shard.DropCapacity]
	n[board.CountEvictionsSlabMove] = s.ByDrop[shard.DropSlabMove]
	n[board.CountEvictionsSpare] = s.ByDrop[shard.DropSpare]
	n[board.CountTombstonesLost] = s.TombstonesLost
	n[board.CountExpiriesAccess] = s.ByDrop[shard.DropExpired]
	n[board.CountExpiriesWheel] = s.ByDrop[shard.DropWheel]
	n[board.CountCorruptDropped] = s.ByDrop[shard.DropCorrupt]
	if g := l.cfg.Log; g != nil {
		n[board.CountLogRecords], n[board.CountLogLost] = g.records, g.lost
	}
	n[board.CountSlotsInFlight] = uint64(l.store.RoomsTaken())
	n[board.CountLeasesGranted], n[board.CountLeasesRefused] = s.LeasesGranted, s.LeasesRefused
}

// publishSlowly publishes what is longer: memory and heavy hitters.
func (l *Loop) publishSlowly() {
	c, s := &l.counts, l.store.Stats()
	used := s.SlotBytes + s.IndexBytes + s.PolicyBytes + s.TableBytes
	c.memory.SetTotals(l.cfg.MemoryBytes, used)
	c.purposes = append(c.purposes[:0],
		board.Purpose{Name: "items", Bytes: uint64(s.SlotBytes)}, board.Purpose{Name: "index", Bytes: uint64(s.IndexBytes)},
		board.Purpose{Name: "policy", Bytes: uint64(s.PolicyBytes)}, board.Purpose{Name: "tables", Bytes: uint64(s.TableBytes)},
		board.Purpose{Name: "keys", Bytes: uint64(s.KeyBytes)}, board.Purpose{Name: "values", Bytes: uint64(s.ValueBytes)})
	c.room = c.memory.SetPurposes(c.purposes, c.room)
	c.classes = c.classes[:0]
	for i := range s.Classes[:min(len(s.Classes), cap(c.classes))] {
		k := &s.Classes[i]
		if k.Slabs > 0 {
			c.classes = append(c.classes, board.Class{SlotBytes: uint32(k.SlotBytes), SlabKiB: uint32(k.Slabs * l.store.SlabBytes() >> 10), Items: uint64(k.Items)})
		}
	}
	c.room = c.memory.SetClasses(c.classes, c.room)
	c.hot = l.store.Heavy(c.hot[:0])
	c.hotLines = c.hotLines[:0]
	for i := range c.hot[:min(len(c.hot), board.MaxHot)] {
		h := &c.hot[i]
		c.hotLines = append(c.hotLines, l.hotLine(h))
	}
	c.room = c.hotKeys.Set(c.hotLines, c.room)
}

// PublishReasons puts the names of all reasons and statuses on the board.
func PublishReasons(b *board.Board, verdictNames []string) {
	r := b.Reasons()
	r.Set(board.GroupWire, names(int(wire.ReasonCount), func(i int) string { return wire.Reason(i).String() }))
	r.Set(board.GroupGuard, names(int(NumReasons), func(i int) string { return Reason(i).String() }))
	r.Set(board.GroupPort, names(int(port.NumDropReasons), func(i int) string { return port.DropReason(i).String() }))
	r.Set(board.GroupStatus, names(wire.StatusCount, func(i int) string { return wire.Status(i).String() }))
	r.Set(board.GroupSteer, verdictNames)
}

func names(n int, name func(int) string) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = name(i)
	}
	return list
}
