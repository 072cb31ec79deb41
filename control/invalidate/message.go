package invalidate

import (
	"encoding/binary"
	"errors"
)

// A batch, as it travels between nodes, little-endian:
//
//	 0 1  layout version (1)
//	 1 1  number of events; 0: a heartbeat
//	 2 1  flags: 1 = somebody at the sender wants to hear of all writes; 2 = the origin
//	      tells of all its writes, not only of those whose copies may be about
//	 3 1  0
//	 4 4  milliseconds after which the origin speaks again at the latest
//	 8 8  origin: node id
//	16 8  incarnation: greater after each start of the origin
//	24 8  sequence of the first event; of a heartbeat, that of the next one to come
//	32 …  events: version 8, key length 1, key
const (
	batchLayout    = 1
	batchHeadBytes = 32
	eventHeadBytes = 9
	maxKeyBytes    = 250
	// MaxBatchBytes is the largest payload: gossip takes it in one datagram.
	MaxBatchBytes = 1180
	maxBatchCount = 255
)

// Event is one write that makes copies old.
type Event struct {
	Key     []byte
	Version uint64 // epoch:24 | sequence:40
}

// batch is a run of events of one origin.
type batch struct {
	origin, incarnation uint64
	first               uint64
	everyMillis         uint32
	wantsAll, tellsAll  bool
	events              []Event
}

const (
	flagWantsAll = 1 << iota
	flagTellsAll
)

// next is the sequence after the batch.
func (b *batch) next() uint64 { return b.first + uint64(len(b.events)) }

func (b *batch) encode() []byte {
	size := batchHeadBytes
	for i := range b.events {
		size += eventHeadBytes + len(b.events[i].Key)
	}
	out := make([]byte, batchHeadBytes, size)
	out[0], out[1] = batchLayout, byte(len(b.events))
	if b.wantsAll {
		out[2] |= flagWantsAll
	}
	if b.tellsAll {
		out[2] |= flagTellsAll
	}
	le := binary.LittleEndian
	le.PutUint32(out[4:], b.everyMillis)
	le.PutUint64(out[8:], b.origin)
	le.PutUint64(out[16:], b.incarnation)
	le.PutUint64(out[24:], b.first)
	for i := range b.events {
		out = le.AppendUint64(out, b.events[i].Version)
		out = append(out, byte(len(b.events[i].Key)))
		out = append(out, b.events[i].Key...)
	}
	return out
}

// ErrBadBatch says that bytes are no batch of this version.
var ErrBadBatch = errors.New("invalidate: bytes are no batch of events")

// decodeBatch reads a batch whose keys stay in payload.
func decodeBatch(payload []byte) (b batch, err error) {
	if len(payload) < batchHeadBytes || payload[0] != batchLayout || payload[2] > flagWantsAll|flagTellsAll || payload[3] != 0 {
		return b, ErrBadBatch
	}
	le := binary.LittleEndian
	b = batch{origin: le.Uint64(payload[8:]), incarnation: le.Uint64(payload[16:]), first: le.Uint64(payload[24:])}
	b.everyMillis = le.Uint32(payload[4:])
	b.wantsAll, b.tellsAll = payload[2]&flagWantsAll != 0, payload[2]&flagTellsAll != 0
	count, rest := int(payload[1]), payload[batchHeadBytes:]
	if b.origin == 0 || b.first == 0 || b.first+uint64(count) < b.first {
		return b, ErrBadBatch
	}
	b.events = make([]Event, 0, count)
	for range count {
		if len(rest) < eventHeadBytes {
			return b, ErrBadBatch
		}
		keyEnd := eventHeadBytes + int(rest[8])
		if rest[8] == 0 || rest[8] > maxKeyBytes || len(rest) < keyEnd {
			return b, ErrBadBatch
		}
		b.events = append(b.events, Event{Version: le.Uint64(rest), Key: rest[eventHeadBytes:keyEnd:keyEnd]})
		rest = rest[keyEnd:]
	}
	if len(rest) != 0 {
		return b, ErrBadBatch
	}
	return b, nil
}
