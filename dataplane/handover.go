package dataplane

import (
	"encoding/binary"
	"sync/atomic"

	"gannet/board"
)

// Exchange carries datagrams that arrived at the wrong shard to the right one: a
// single-producer single-consumer queue for each pair of shards, in memory.
type Exchange struct {
	shards int
	queues []*board.Queue // [from*shards+to]; nil where from = to
	mail   []mailbox      // by receiver
}

// mailbox tells a receiver that something may be in its queues. Set by any
// sender after it pushed, cleared by the receiver before it looks.
type mailbox struct {
	full atomic.Bool
	wake atomic.Pointer[func()]
	_    [48]byte // a line of its own
}

const (
	exchangeBytes      = 32 << 20 // of all queues together, at most
	maxPairBytes       = 256 << 10
	minPairBytes       = 16 << 10
	handOverHeadBytes  = 16 // arrival time and queue, in front of the datagram
	handOverRecordKind = 1
)

// NewExchange makes the queues between that many shards.
func NewExchange(shards int) *Exchange {
	x := &Exchange{shards: shards, queues: make([]*board.Queue, shards*shards), mail: make([]mailbox, shards)}
	pair := maxPairBytes
	for pair > minPairBytes && pair*shards*shards > exchangeBytes {
		pair /= 2
	}
	for from := range shards {
		for to := range shards {
			if from != to {
				x.queues[from*shards+to] = board.NewQueue(pair)
			}
		}
	}
	return x
}

// attach says how to wake a shard that sleeps.
func (x *Exchange) attach(shard int, wake func()) { x.mail[shard].wake.Store(&wake) }

// send copies a datagram into a queue. False when it is full.
func (x *Exchange) send(from, to int, raw []byte, queue uint16, arrivedNanos int64) bool {
	room, ok := x.queues[from*x.shards+to].Reserve(handOverRecordKind, handOverHeadBytes+len(raw))
	if !ok {
		return false
	}
	binary.LittleEndian.PutUint64(room, uint64(arrivedNanos))
	binary.LittleEndian.PutUint64(room[8:], uint64(queue))
	copy(room[handOverHeadBytes:], raw)
	x.queues[from*x.shards+to].Commit() // the copy now belongs to the receiver
	box := &x.mail[to]
	if !box.full.Swap(true) {
		if wake := box.wake.Load(); wake != nil {
			(*wake)()
		}
	}
	return true
}

// handOver passes a datagram on to the shard it is for.
func (l *Loop) handOver(in *inbound, to int) {
	if !l.cfg.Exchange.send(l.cfg.Shard, to, l.port.Raw(in.rx.Frame), in.rx.Queue, in.rx.ArrivedNanos) {
		l.drop(in, ReasonHandOverFull)
		return
	}
	l.counts.n[board.CountHandedOver]++
	l.port.Release(in.rx.Frame)
}

// handIn starts the batch with datagrams that other shards passed on.
func (l *Loop) handIn() {
	x := l.cfg.Exchange
	if x == nil || !x.mail[l.cfg.Shard].full.Load() {
		return
	}
	x.mail[l.cfg.Shard].full.Store(false)
	for from := range x.shards {
		if from != l.cfg.Shard && !l.handInFrom(x.queues[from*x.shards+l.cfg.Shard]) {
			x.mail[l.cfg.Shard].full.Store(true) // the batch is full: look again in the next turn
			return
		}
	}
}

func (l *Loop) handInFrom(q *board.Queue) (empty bool) {
	for {
		_, data, ok, _ := q.Peek() // cannot be torn: both ends live in this process
		if !ok {
			return true
		}
		if l.batchSize == batchDatagrams {
			return false
		}
		arrived := int64(binary.LittleEndian.Uint64(data))
		queue := uint16(binary.LittleEndian.Uint64(data[8:]))
		rx, ok := l.port.Import(data[handOverHeadBytes:], queue, arrived)
		q.Pop()
		if !ok {
			l.counts.reason[ReasonHandInNoFrame]++
			continue
		}
		l.counts.n[board.CountHandedIn]++
		l.rx[l.batchSize] = rx
		l.batchSize++
	}
}
