package dataplane

import (
	"strconv"

	"gannet/board"
	"gannet/wire"
)

// statsBytes is the longest STATS value; it fits the smallest reply room.
const statsBytes = 1024

// nodeCounters are the counters that STATS adds up over the node's shards.
var nodeCounters = [...]struct {
	name string
	ids  []board.Counter
}{
	{"items", []board.Counter{board.CountItems}},
	{"gets", []board.Counter{board.CountGets}},
	{"hits", []board.Counter{board.CountHits, board.CountStaleHits}},
	{"misses", []board.Counter{board.CountMisses}},
	{"kernel_hits", []board.Counter{board.CountKernelHits}},
	{"puts", []board.Counter{board.CountPuts}},
	{"deletes", []board.Counter{board.CountDeletes}},
	{"evictions", []board.Counter{board.CountEvictionsMemory, board.CountEvictionsCapacity, board.CountEvictionsSlabMove, board.CountEvictionsSpare}},
	{"expiries", []board.Counter{board.CountExpiriesAccess, board.CountExpiriesWheel}},
	{"corrupt", []board.Counter{board.CountCorruptDropped}},
	{"handed_over", []board.Counter{board.CountHandedOver}},
}

// addStats answers STATS with the node's figures as JSON. This shard's are of now,
// those of others up to 10 ms old.
func (l *Loop) addStats(op *wire.Op) {
	l.counts.n[board.CountStats]++
	l.publishCounters()
	v := l.counts.statsValue[:0]
	v = append(v, `{"policy":`...)
	v = strconv.AppendQuote(v, l.cfg.Policy)
	v = append(v, `,"datapath":`...)
	v = strconv.AppendQuote(v, l.caps.Rung.String())
	v = appendField(v, "shards", uint64(l.cfg.Shards))
	v = appendField(v, "shard", uint64(l.cfg.Shard))
	v = appendField(v, "epoch", uint64(l.epoch))
	for i := range nodeCounters {
		v = appendField(v, nodeCounters[i].name, l.sumOverShards(nodeCounters[i].ids))
	}
	limit, used := int64(0), int64(0)
	for n := range l.cfg.Shards {
		shardLimit, shardUsed := l.memories[n].Totals()
		limit, used = limit+shardLimit, used+shardUsed
	}
	v = appendField(v, "memory_limit_bytes", uint64(limit))
	v = appendField(v, "memory_used_bytes", uint64(used))
	v = append(v, '}')
	l.counts.statsValue = v
	l.addValue(&wire.ReplyOp{Code: wire.Stats, Index: uint16(op.Index)}, v)
}

func appendField(v []byte, name string, value uint64) []byte {
	v = append(v, ',', '"')
	v = append(v, name...)
	v = append(v, '"', ':')
	return strconv.AppendUint(v, value, 10)
}

func (l *Loop) sumOverShards(ids []board.Counter) (sum uint64) {
	for n := range l.cfg.Shards {
		for _, id := range ids {
			sum += l.counters[n].Get(id)
		}
	}
	return sum
}
