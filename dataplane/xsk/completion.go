package xsk

import "sync/atomic"

// completionQueue returns what has been sent: one address for each descriptor. We
// consume.
type completionQueue struct {
	shared
	addrs    []uint64 // entries; the kernel writes them
	next     uint32   // entries read; only we write it
	produced uint32   // the kernel's index as last read; only we write it
}

// available is how many entries can be read, up to want.
func (q *completionQueue) available(want uint32) uint32 {
	n := q.produced - q.next
	if n < want {
		q.produced = atomic.LoadUint32(q.producer)
		n = q.produced - q.next
	}
	return min(n, want)
}

// get reads one entry. The caller has made sure that there is one.
func (q *completionQueue) get() uint64 {
	addr := q.addrs[q.next&q.mask]
	q.next++
	return addr
}

// release gives the entries that were read back to the kernel.
func (q *completionQueue) release() { atomic.StoreUint32(q.consumer, q.next) }

// framesWaiting counts the frames, not the slabs' pieces, among unread entries.
func (q *completionQueue) framesWaiting(framesBytes uint64) int {
	n := 0
	for i := q.next; i != atomic.LoadUint32(q.producer); i++ {
		if q.addrs[i&q.mask] < framesBytes {
			n++
		}
	}
	return n
}
