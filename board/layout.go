package board

import (
	"fmt"
	"math/bits"
)

// Spec is the geometry of a board.
type Spec struct {
	Shards     int
	LogBytes   int // mutation log of one shard, a power of two; 0 = 4 MiB
	ApplyBytes int // apply queue of one shard, a power of two; 0 = 4 MiB
	ScanBytes  int // scan results of one shard, a power of two; 0 = 1 MiB
	RingBytes  int // room for one published ring; 0 = 1 MiB
	Sessions   int // session keys; 0 = 1024
	Pacing     int // clients with a rate cap, a power of two; 0 = 1024
}

// MaxShards bounds the shards of one node.
const MaxShards = 256

func orDefault(v *int, d int) {
	if *v == 0 {
		*v = d
	}
}

func (s *Spec) complete() error {
	orDefault(&s.LogBytes, 4<<20)
	orDefault(&s.ApplyBytes, 4<<20)
	orDefault(&s.ScanBytes, 1<<20)
	orDefault(&s.RingBytes, 1<<20)
	orDefault(&s.Sessions, 1024)
	orDefault(&s.Pacing, 1024)
	if s.Shards < 1 || s.Shards > MaxShards {
		return fmt.Errorf("board: %d shards: give 1 to %d", s.Shards, MaxShards)
	}
	for _, q := range []struct {
		name  string
		value int
		least int
	}{{"LogBytes", s.LogBytes, 4096}, {"ApplyBytes", s.ApplyBytes, 4096}, {"ScanBytes", s.ScanBytes, 4096}, {"Pacing", s.Pacing, 8}} {
		if q.value < q.least || bits.OnesCount(uint(q.value)) != 1 {
			return fmt.Errorf("board: %s is %d: give a power of two of at least %d", q.name, q.value, q.least)
		}
	}
	if s.RingBytes < 64 || s.RingBytes%8 != 0 || s.Sessions < 1 {
		return fmt.Errorf("board: RingBytes is %d and Sessions %d: give a multiple of 8 from 64 on, and 1 at least", s.RingBytes, s.Sessions)
	}
	return nil
}

// layoutVersion is the version this build speaks, by area. A change of an area's
// layout raises its number.
var layoutVersion = [numAreas]uint32{
	AreaNode: 1, AreaControl: 1, AreaRing: 1, AreaLog: 1, AreaApply: 1, AreaScanRequest: 2, AreaScanResult: 2,
	AreaSessions: 1, AreaPacing: 1, AreaFence: 1, AreaSecret: 1, AreaCounters: 1, AreaLatency: 1, AreaMemory: 1,
	AreaHot: 3, AreaHeartbeat: 1, AreaReasons: 1, AreaReplication: 3, AreaReplicated: 1,
	AreaLosses: 1,
}

// layout places all areas of a complete spec and returns the file's length.
func (s Spec) layout() ([]entry, int64) {
	n := s.Shards
	entries := []entry{
		{id: AreaNode, stride: nodeBytes, elements: 1, writer: WriterData},
		{id: AreaControl, stride: controlBytes, elements: 1, writer: WriterControl},
		{id: AreaRing, stride: ringStride(s.RingBytes), elements: 1, writer: WriterControl},
		{id: AreaLog, stride: queueStride(s.LogBytes), elements: n, writer: WriterData},
		{id: AreaApply, stride: queueStride(s.ApplyBytes), elements: n, writer: WriterControl},
		{id: AreaScanRequest, stride: scanRequestBytes, elements: n, writer: WriterControl},
		{id: AreaScanResult, stride: queueStride(s.ScanBytes), elements: n, writer: WriterData},
		{id: AreaSessions, stride: sessionBytes, elements: s.Sessions, writer: WriterControl},
		{id: AreaPacing, stride: pacingBytes, elements: s.Pacing, writer: WriterControl},
		{id: AreaFence, stride: lineBytes, elements: 1, writer: WriterControl},
		{id: AreaSecret, stride: recordStride(secretBytes), elements: 1, writer: WriterData},
		{id: AreaCounters, stride: countersBytes, elements: n, writer: WriterData},
		{id: AreaLatency, stride: latencyBytes, elements: n, writer: WriterData},
		{id: AreaMemory, stride: memoryBytes, elements: n + 1, writer: WriterData},
		{id: AreaHot, stride: recordStride(hotBytes), elements: n, writer: WriterData},
		{id: AreaHeartbeat, stride: lineBytes, elements: n, writer: WriterData},
		{id: AreaReasons, stride: reasonsBytes, elements: 1, writer: WriterData},
		{id: AreaReplication, stride: replicationStride(), elements: 1, writer: WriterControl},
		{id: AreaReplicated, stride: lineBytes, elements: n, writer: WriterControl},
		{id: AreaLosses, stride: lineBytes, elements: n * lossLines, writer: WriterData},
	}
	offset := int64(directoryBytes)
	for i := range entries {
		e := &entries[i]
		e.version = layoutVersion[e.id]
		e.offset = offset
		offset = (offset + e.bytes() + areaAlign - 1) &^ (areaAlign - 1)
	}
	return entries, offset
}

const lineBytes = 64
