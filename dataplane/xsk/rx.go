package xsk

import "sync/atomic"

// rxQueue brings received packets. We consume.
type rxQueue struct {
	shared
	descs    []Desc // entries; the kernel writes them
	next     uint32 // entries read; only we write it
	produced uint32 // the kernel's index as last read; only we write it
}

// available is how many entries can be read, up to want.
func (q *rxQueue) available(want uint32) uint32 {
	n := q.produced - q.next
	if n < want {
		q.produced = atomic.LoadUint32(q.producer)
		n = q.produced - q.next
	}
	return min(n, want)
}

// get reads one entry. The caller has made sure that there is one.
func (q *rxQueue) get() Desc {
	d := q.descs[q.next&q.mask]
	q.next++
	return d
}

// peek reads an entry that follows so many others that have not been read either. The
// caller has made sure that there is one.
func (q *rxQueue) peek(ahead uint32) Desc { return q.descs[(q.next+ahead)&q.mask] }

// release gives the entries that were read back to the kernel.
func (q *rxQueue) release() { atomic.StoreUint32(q.consumer, q.next) }

// waiting is how many entries have not been read, exact at this moment.
func (q *rxQueue) waiting() int { return int(atomic.LoadUint32(q.producer) - q.next) }
