package board

import (
	"encoding/binary"
	"errors"
	"slices"
)

// MutationKind is the kind of a record in the log, the apply queue or a scan's
// results.
type MutationKind uint32

// The kinds.
const (
	MutationPut       MutationKind = iota + 1 // an item as it is now
	MutationDelete                            // a delete, with its version
	MutationTouch                             // new TTLs, same version and value
	MutationEvict                             // the leader let the item go
	MutationReference                         // items were read (lossy): Value has their hashes
	MutationScanEnd                           // end of a scan: Version is the request's id
	MutationDrop                              // forget items: see DropMutation
	MutationExpire                            // the item's time was over
	MutationScanBegin                         // beginning of a scan: Version is the request's id
)

// Mutation is one change of one item. Times are relative to the moment it was
// made: no clock is compared across machines.
type Mutation struct {
	Kind        MutationKind
	Version     uint64 // epoch:24 | sequence:40
	Hash        uint64
	TTLSeconds  uint32 // remaining; 0 = none
	SoftSeconds uint32 // remaining; 0 = none
	// AsOfSeconds is a moment of the receiver's CLOCK_BOOTTIME before the item was read
	// from its leader; 0 = not known. It is set in an apply queue only.
	AsOfSeconds uint32
	// Cached says that copies of the item as it was before may be about, outside the
	// nodes. It is true of puts, deletes and touches in a log only.
	Cached     bool
	Key, Value []byte
}

// A mutation as a record:
//
//	 0  8  version
//	 8  8  key hash
//	16  4  TTL seconds     20  4  soft TTL seconds
//	24  4  as-of seconds   28  4  key length:16 | cached:1 | 0:15
//	32  …  key, value
const (
	mutationHeadBytes = 32
	mutationCached    = 1 << 16
)

// ErrBadMutation says that a record is no mutation.
var ErrBadMutation = errors.New("board: record is no mutation")

// PushMutation adds m. False, and counted as lost, when there is no room.
func (q *Queue) PushMutation(m *Mutation) bool {
	room, ok := q.Reserve(uint32(m.Kind), m.Bytes())
	if !ok {
		return false
	}
	m.put(room)
	q.Commit()
	return true
}

// Bytes is the length of its record.
func (m *Mutation) Bytes() int { return mutationHeadBytes + len(m.Key) + len(m.Value) }

func (m *Mutation) put(room []byte) {
	le := binary.LittleEndian
	le.PutUint64(room, m.Version)
	le.PutUint64(room[8:], m.Hash)
	le.PutUint32(room[16:], m.TTLSeconds)
	le.PutUint32(room[20:], m.SoftSeconds)
	le.PutUint32(room[24:], m.AsOfSeconds)
	word := uint32(len(m.Key))
	if m.Cached {
		word |= mutationCached
	}
	le.PutUint32(room[28:], word)
	copy(room[mutationHeadBytes:], m.Key)
	copy(room[mutationHeadBytes+len(m.Key):], m.Value)
}

// Append appends the mutation as it travels between nodes: kind and length as u32,
// and the record. Cached is its origin's business, and stays behind.
func (m *Mutation) Append(dst []byte) []byte {
	n := m.Bytes()
	dst = binary.LittleEndian.AppendUint32(dst, uint32(m.Kind))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
	at := len(dst)
	dst = slices.Grow(dst, n)[:at+n]
	m.put(dst[at:])
	binary.LittleEndian.PutUint32(dst[at+28:], uint32(len(m.Key)))
	return dst
}

// travelHeadBytes precede a mutation between nodes.
const travelHeadBytes = 8

// NextMutation reads the mutation at the beginning of b, whose memory its slices
// share, and returns what follows it.
func NextMutation(b []byte, m *Mutation) (rest []byte, err error) {
	if len(b) < travelHeadBytes {
		return nil, ErrBadMutation
	}
	kind, n := binary.LittleEndian.Uint32(b), uint64(binary.LittleEndian.Uint32(b[4:]))
	if b = b[travelHeadBytes:]; n > uint64(len(b)) || !m.decode(kind, b[:n]) {
		return nil, ErrBadMutation
	}
	return b[n:], nil
}

// PeekMutation reads the oldest record into m; its slices stay valid until Pop. A
// record that is no mutation is skipped with ErrBadMutation.
func (q *Queue) PeekMutation(m *Mutation) (bool, error) {
	kind, data, ok, err := q.Peek()
	if !ok || err != nil {
		return false, err
	}
	if !m.decode(kind, data) {
		q.Pop()
		return false, ErrBadMutation
	}
	return true, nil
}

func (m *Mutation) decode(kind uint32, data []byte) bool {
	if len(data) < mutationHeadBytes || kind == 0 || kind > uint32(MutationScanBegin) {
		return false
	}
	le := binary.LittleEndian
	word := le.Uint32(data[28:])
	keyBytes := word &^ mutationCached
	if uint64(keyBytes) > uint64(len(data)-mutationHeadBytes) {
		return false
	}
	body := data[mutationHeadBytes:]
	*m = Mutation{
		Kind: MutationKind(kind), Version: le.Uint64(data), Hash: le.Uint64(data[8:]),
		TTLSeconds: le.Uint32(data[16:]), SoftSeconds: le.Uint32(data[20:]), AsOfSeconds: le.Uint32(data[24:]),
		Cached: word&mutationCached != 0,
		Key:    body[:keyBytes:keyBytes], Value: body[keyBytes:],
	}
	return true
}

// Log returns a shard's mutation log. Producer: that shard. Consumer: the control
// process.
func (b *Board) Log(shard int) *Queue { return newQueue(b.area(AreaLog, shard)) }

// Apply returns a shard's apply queue. Producer: control process. Consumer: that shard.
func (b *Board) Apply(shard int) *Queue { return newQueue(b.area(AreaApply, shard)) }

// DropMutation is the order to forget the items of the spans: all of them, or, with
// upto, those whose version is not above upto[n], n being the shard that has them at
// another node, of len(upto) shards.
func DropMutation(spans []Span, upto []uint64) Mutation {
	value := binary.LittleEndian.AppendUint64(nil, uint64(len(upto)))
	for _, v := range upto {
		value = binary.LittleEndian.AppendUint64(value, v)
	}
	return Mutation{Kind: MutationDrop, Value: appendSpans(value, spans)}
}

// Drop adds the spans and versions of a MutationDrop to what is given.
func (m *Mutation) Drop(spans []Span, upto []uint64) ([]Span, []uint64) {
	value := m.Value
	if len(value) < 8 {
		return spans, upto
	}
	n := loadUint64(value)
	if value = value[8:]; n > uint64(len(value)/8) {
		return spans, upto
	}
	for range n {
		upto = append(upto, loadUint64(value))
		value = value[8:]
	}
	return readSpans(spans, value), upto
}

// ReferenceHash returns the nth key hash of a MutationReference.
func (m *Mutation) ReferenceHash(n int) uint64 { return loadUint64(m.Value[n*8:]) }

// References is the number of key hashes of a MutationReference.
func (m *Mutation) References() int { return len(m.Value) / 8 }

// AppendReference adds a key hash to the value of a MutationReference.
func AppendReference(dst []byte, hash uint64) []byte {
	return binary.LittleEndian.AppendUint64(dst, hash)
}
