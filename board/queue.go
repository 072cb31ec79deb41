package board

import (
	"encoding/binary"
	"errors"
	"sync/atomic"
)

// Queue is a single-producer single-consumer ring of records of any length, in
// shared memory. The producer never waits: what finds no room is counted as lost,
// and the consumer sees the count.
//
//	line 0  0 capacity (fixed when laid out)
//	line 1  8 tail: bytes ever written        writer: producer
//	        9 lost: records that found no room writer: producer
//	line 2 16 head: bytes ever consumed        writer: consumer
//	       17 following: 1 while somebody consumes   writer: consumer
//	line 3  … the ring of capacity bytes
//
// A record is one word (length:32 | kind:32), then its bytes, padded to 8. It lies
// in one piece: where the end of the ring is too near, a record of kind skip fills
// it up. Tail is stored after the record's bytes, head after the last use of them;
// hence a producer that dies in the middle leaves nothing behind, and a consumer
// that dies sees the record again.
type Queue struct {
	words []atomic.Uint64
	ring  []byte
	mask  uint64

	// The producer's own: nobody else reads or writes them.
	tail     uint64 // copy of the tail word
	headSeen uint64 // last head that was looked at
	reserved int    // bytes of the record between Reserve and Commit
	kind     uint32

	// The consumer's own.
	head uint64
	next uint64 // head once the record handed out by Peek is consumed
}

const (
	queueHeadBytes = 3 * lineBytes
	wordCapacity   = 0
	wordTail       = 8
	wordLost       = 9
	wordHead       = 16
	wordFollowing  = 17

	kindSkip     = ^uint32(0)
	recordHeader = 8
)

// ErrTorn says that a queue's indices or a record make no sense: its content was
// given up, and the reader has to get what it missed in another way.
var ErrTorn = errors.New("board queue is torn: its content was dropped, resynchronise by a scan")

func queueStride(capacityBytes int) int64 { return int64(capacityBytes) + queueHeadBytes }

func layQueue(mem []byte) {
	wordsOf(mem)[wordCapacity].Store(uint64(len(mem) - queueHeadBytes))
}

// newQueue opens a queue. Both ends may be opened any number of times, as long as
// only one producer and one consumer use theirs.
func newQueue(mem []byte) *Queue {
	q := &Queue{words: wordsOf(mem), ring: mem[queueHeadBytes:]}
	capacity := uint64(len(q.ring))
	if capacity&(capacity-1) != 0 {
		capacity = 4096
		q.ring = q.ring[:capacity]
	}
	q.mask = capacity - 1
	q.tail = q.words[wordTail].Load() &^ 7
	q.head = q.words[wordHead].Load()
	q.headSeen = q.head
	q.next = q.head
	return q
}

func paddedBytes(n int) uint64 { return uint64(n+7)&^7 + recordHeader }

// MaxRecord returns the bytes that one record can hold.
func (q *Queue) MaxRecord() int { return len(q.ring)/2 - recordHeader }

// Reserve returns room for a record of n bytes, to be filled and then published
// by Commit. When there is none the record counts as lost, and false is returned.
func (q *Queue) Reserve(kind uint32, n int) ([]byte, bool) {
	if n < 0 || n > q.MaxRecord() || kind == kindSkip {
		q.lose()
		return nil, false
	}
	need := paddedBytes(n)
	at := q.tail & q.mask
	skip := uint64(0)
	if at+need > uint64(len(q.ring)) {
		skip = uint64(len(q.ring)) - at
	}
	if !q.hasRoom(skip + need) {
		q.lose()
		return nil, false
	}
	if skip > 0 {
		q.putHeader(at, int(skip-recordHeader), kindSkip)
		q.tail += skip // published together with the record, by Commit
		at = 0
	}
	q.reserved, q.kind = n, kind
	from := at + recordHeader
	return q.ring[from : from+uint64(n) : from+uint64(n)], true
}

func (q *Queue) hasRoom(bytes uint64) bool {
	capacity := uint64(len(q.ring))
	if q.tail+bytes-q.headSeen <= capacity {
		return true
	}
	q.headSeen = q.words[wordHead].Load()
	if q.headSeen > q.tail {
		return false // a torn head: the consumer repairs it, until then nothing fits
	}
	return q.tail+bytes-q.headSeen <= capacity
}

func (q *Queue) lose() { q.words[wordLost].Add(1) }

func (q *Queue) putHeader(at uint64, n int, kind uint32) {
	binary.LittleEndian.PutUint64(q.ring[at:], uint64(uint32(n))|uint64(kind)<<32)
}

// Commit publishes the record of the last Reserve.
func (q *Queue) Commit() {
	at := q.tail & q.mask
	q.putHeader(at, q.reserved, q.kind)
	q.tail += paddedBytes(q.reserved)
	q.words[wordTail].Store(q.tail) // the record now belongs to the consumer
}

// Push copies a record in. False, and counted as lost, when there is no room.
func (q *Queue) Push(kind uint32, data []byte) bool {
	room, ok := q.Reserve(kind, len(data))
	if !ok {
		return false
	}
	copy(room, data)
	q.Commit()
	return true
}

// Peek returns the oldest record. Its bytes stay valid until Pop. ErrTorn says
// that the content made no sense and was dropped.
func (q *Queue) Peek() (kind uint32, data []byte, ok bool, err error) {
	for {
		tail := q.words[wordTail].Load()
		if tail == q.head {
			return 0, nil, false, nil
		}
		kind, n, good := q.header(tail)
		if !good {
			q.drop(tail)
			return 0, nil, false, ErrTorn
		}
		from := q.head&q.mask + recordHeader
		q.next = q.head + paddedBytes(n)
		if kind != kindSkip {
			return kind, q.ring[from : from+uint64(n) : from+uint64(n)], true, nil
		}
		q.Pop()
	}
}

// header reads the oldest record's header and checks it against what is there.
func (q *Queue) header(tail uint64) (kind uint32, n int, ok bool) {
	filled := tail - q.head
	at := q.head & q.mask
	if filled > uint64(len(q.ring)) || filled < recordHeader || filled%8 != 0 || q.head%8 != 0 {
		return 0, 0, false
	}
	w := binary.LittleEndian.Uint64(q.ring[at:])
	kind, n = uint32(w>>32), int(uint32(w))
	need := paddedBytes(n)
	return kind, n, need <= filled && at+need <= uint64(len(q.ring))
}

func (q *Queue) drop(tail uint64) {
	q.head, q.next = tail, tail
	q.words[wordHead].Store(tail)
}

// Pop gives the record handed out by Peek back to the producer.
func (q *Queue) Pop() {
	q.head = q.next
	q.words[wordHead].Store(q.head) // the room now belongs to the producer
}

// Lost returns how many records ever found no room. A consumer that sees it grow
// has a gap before the next record it reads.
func (q *Queue) Lost() uint64 { return q.words[wordLost].Load() }

// Filled returns how many bytes wait to be consumed.
func (q *Queue) Filled() int {
	return int(q.words[wordTail].Load() - q.words[wordHead].Load())
}

// Pushed returns how many bytes were ever written, and Consumed how many of them
// were consumed: a record pushed before the first was read has been taken once the
// second has reached it.
func (q *Queue) Pushed() uint64 { return q.words[wordTail].Load() }

// Consumed is explained at Pushed.
func (q *Queue) Consumed() uint64 { return q.words[wordHead].Load() }

// Follow says whether somebody consumes. The consumer calls it; a producer that
// finds nobody following ([Queue.Followed]) spares itself the work.
func (q *Queue) Follow(on bool) {
	if on {
		q.drop(q.words[wordTail].Load())
		q.words[wordFollowing].Store(1)
		return
	}
	q.words[wordFollowing].Store(0)
}

// Followed says whether somebody consumes.
func (q *Queue) Followed() bool { return q.words[wordFollowing].Load() != 0 }

// NewQueue lays a queue of the given capacity, a power of two, in memory of this
// process alone.
func NewQueue(capacityBytes int) *Queue {
	mem := heapBytes(queueStride(capacityBytes))
	layQueue(mem)
	return newQueue(mem)
}

// Room returns how many bytes a record can surely have now. Only the producer may
// ask.
func (q *Queue) Room() int {
	q.headSeen = q.words[wordHead].Load()
	free := len(q.ring) - int(q.tail-q.headSeen)
	// A record may need to skip the ring's end, and then as much again.
	return min(free/2, q.MaxRecord()) - recordHeader
}
