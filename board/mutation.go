package board

import (
	"encoding/binary"
	"errors"
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
	MutationReference                         // the item was read (lossy)
	MutationScanEnd                           // end of a scan: Version is the request's id
)

// Mutation is one change of one item. Times are relative to the moment it was
// made: no clock is compared across machines.
type Mutation struct {
	Kind        MutationKind
	Version     uint64 // epoch:24 | sequence:40
	Hash        uint64
	TTLSeconds  uint32 // remaining; 0 = none
	SoftSeconds uint32 // remaining; 0 = none
	AgeSeconds  uint32
	Key, Value  []byte
}

// A mutation as a record:
//
//	 0  8  version
//	 8  8  key hash
//	16  4  TTL seconds     20  4  soft TTL seconds
//	24  4  age seconds     28  4  key length
//	32  …  key, value
const mutationHeadBytes = 32

// ErrBadMutation says that a record is no mutation.
var ErrBadMutation = errors.New("board: record is no mutation")

// PushMutation adds m. False, and counted as lost, when there is no room.
func (q *Queue) PushMutation(m *Mutation) bool {
	room, ok := q.Reserve(uint32(m.Kind), mutationHeadBytes+len(m.Key)+len(m.Value))
	if !ok {
		return false
	}
	le := binary.LittleEndian
	le.PutUint64(room, m.Version)
	le.PutUint64(room[8:], m.Hash)
	le.PutUint32(room[16:], m.TTLSeconds)
	le.PutUint32(room[20:], m.SoftSeconds)
	le.PutUint32(room[24:], m.AgeSeconds)
	le.PutUint32(room[28:], uint32(len(m.Key)))
	copy(room[mutationHeadBytes:], m.Key)
	copy(room[mutationHeadBytes+len(m.Key):], m.Value)
	q.Commit()
	return true
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
	if len(data) < mutationHeadBytes || kind == 0 || kind > uint32(MutationScanEnd) {
		return false
	}
	le := binary.LittleEndian
	keyBytes := le.Uint32(data[28:])
	if uint64(keyBytes) > uint64(len(data)-mutationHeadBytes) {
		return false
	}
	body := data[mutationHeadBytes:]
	*m = Mutation{
		Kind: MutationKind(kind), Version: le.Uint64(data), Hash: le.Uint64(data[8:]),
		TTLSeconds: le.Uint32(data[16:]), SoftSeconds: le.Uint32(data[20:]), AgeSeconds: le.Uint32(data[24:]),
		Key: body[:keyBytes:keyBytes], Value: body[keyBytes:],
	}
	return true
}

// Log returns a shard's mutation log. Producer: that shard. Consumer: the control
// process.
func (b *Board) Log(shard int) *Queue { return newQueue(b.area(AreaLog, shard)) }

// Apply returns a shard's apply queue. Producer: control process. Consumer: that shard.
func (b *Board) Apply(shard int) *Queue { return newQueue(b.area(AreaApply, shard)) }
