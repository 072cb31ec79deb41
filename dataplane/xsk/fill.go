package xsk

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// fillQueue gives the kernel frames to receive into. We produce.
type fillQueue struct {
	shared
	addrs    []uint64 // entries; we write them
	next     uint32   // entries written; only we write it
	consumed uint32   // the kernel's index as last read; only we write it
}

// room is how many frames the queue takes, up to want.
func (q *fillQueue) room(want uint32) uint32 {
	free := q.entries() - (q.next - q.consumed)
	if free < want {
		q.consumed = atomic.LoadUint32(q.consumer)
		free = q.entries() - (q.next - q.consumed)
	}
	return min(free, want)
}

// put writes one address. The caller has made sure of the room.
func (q *fillQueue) put(addr uint64) {
	q.addrs[q.next&q.mask] = addr
	q.next++
}

// publish passes what was put to the kernel. Ownership passes here.
func (q *fillQueue) publish() { atomic.StoreUint32(q.producer, q.next) }

// needsWakeup says that the driver sleeps until it is told of new frames.
func (q *fillQueue) needsWakeup() bool {
	return atomic.LoadUint32(q.flags)&unix.XDP_RING_NEED_WAKEUP != 0
}
