package dataplane

import (
	"gannet/board"
	"gannet/shard"
)

// Log writes a shard's mutations to the board while somebody follows them. It is
// given to shard.Open, and used by the shard's thread alone.
type Log struct {
	queue   *board.Queue
	records uint64
	lost    uint64
	hot     *hotKeys // hears of every change; nil = nobody does
	grants  *grants  // hears of every write; nil = nobody does
}

// NewLog returns the log of a shard.
func NewLog(b *board.Board, shardNumber int) *Log { return &Log{queue: b.Log(shardNumber)} }

var mutationOf = [...]board.MutationKind{
	shard.RecordPut: board.MutationPut, shard.RecordDelete: board.MutationDelete, shard.RecordTouch: board.MutationTouch,
	shard.RecordEvict: board.MutationEvict, shard.RecordExpire: board.MutationExpire,
}

// Append implements shard.Log. It never waits: what finds no room is counted as
// lost on the queue, and the reader makes up for it by a scan.
func (g *Log) Append(rec *shard.LogRecord) {
	if rec.Kind != shard.RecordUse {
		g.hot.changed(rec.Hash)
	}
	cached := false
	switch rec.Kind {
	case shard.RecordPut, shard.RecordDelete, shard.RecordTouch:
		cached = g.grants.wrote(rec.Hash)
	}
	if !g.queue.Followed() || int(rec.Kind) >= len(mutationOf) {
		return
	}
	m := board.Mutation{
		Kind: mutationOf[rec.Kind], Version: rec.Version, Hash: rec.Hash,
		TTLSeconds: rec.TTLSeconds, SoftSeconds: rec.SoftSeconds, Cached: cached, Key: rec.Key, Value: rec.Value,
	}
	if g.queue.PushMutation(&m) {
		g.records++
		return
	}
	g.lost++
}
