package xsk

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// txQueue gives the kernel packets to send. We produce.
type txQueue struct {
	shared
	descs    []Desc // entries; we write them
	next     uint32 // entries written; only we write it
	consumed uint32 // the kernel's index as last read; only we write it
}

// room is how many descriptors the queue takes, up to want.
func (q *txQueue) room(want uint32) uint32 {
	free := q.entries() - (q.next - q.consumed)
	if free < want {
		q.consumed = atomic.LoadUint32(q.consumer)
		free = q.entries() - (q.next - q.consumed)
	}
	return min(free, want)
}

// put writes one descriptor. The caller has made sure of the room.
func (q *txQueue) put(d Desc) {
	q.descs[q.next&q.mask] = d
	q.next++
}

// publish passes what was put to the kernel. Ownership passes here.
func (q *txQueue) publish() { atomic.StoreUint32(q.producer, q.next) }

// unsent is how many published descriptors the kernel has not taken.
func (q *txQueue) unsent() uint32 {
	q.consumed = atomic.LoadUint32(q.consumer)
	return atomic.LoadUint32(q.producer) - q.consumed
}

// needsWakeup says that nothing is sent until the kernel is told.
func (q *txQueue) needsWakeup() bool {
	return atomic.LoadUint32(q.flags)&unix.XDP_RING_NEED_WAKEUP != 0
}
