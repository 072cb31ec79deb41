package evict

// A queue block:
//
//	word 0    id of the next block towards the tail
//	word 1    number of entries
//	word 2..  entries, oldest first
const (
	nextWord     = 0
	countWord    = 1
	firstEntry   = 2
	blockEntries = blockWords - firstEntry
)

// sweepEntries is how many entries each removal pays for looking at. A pass over
// the queue thus takes 1/32 of its length in removals, which bounds stale entries
// to about that share.
const sweepEntries = 32

// queue is a FIFO of handles in a chain of blocks. Removing from the middle is
// lazy: the entry stays and its handle is noted in stale. A popped entry whose
// handle stands there is dropped, and one note with it.
//
// Invariant, per handle: entries in the chain = notes in stale + (1 if the item
// is in this queue). As the queue is first in, first out, the stale entries of a
// handle come before its living one. Only a sweep that has passed a stale entry
// before it became one can take the living entry for it; then the item takes over
// the older place, and the invariant still holds.
type queue struct {
	pool       *Pool
	head, tail uint32 // blocks; noBlock when the queue has none
	headAt     uint32 // entries of the head block already popped
	entries    int    // in the chain, stale ones included
	blockCount int
	stale      multiset
	sweep      sweeper
}

// sweeper is the place of the slow pass that drops stale entries.
type sweeper struct {
	prev   uint32 // the block before the next one to look at; noBlock: start anew
	credit int    // entries paid for and not yet looked at
}

func newQueue(pool *Pool) queue { return queue{pool: pool, stale: multiset{pool: pool}} }

// len is the number of items.
func (q *queue) len() int { return q.entries - q.stale.count }

func (q *queue) bytes() int64 { return int64(q.blockCount)*blockBytes + q.stale.bytes() }

func (q *queue) push(h uint32) {
	if q.tail == noBlock || q.pool.blocks[q.tail][countWord] == blockEntries {
		q.addTail()
	}
	b := q.pool.blocks[q.tail]
	b[firstEntry+b[countWord]] = h
	b[countWord]++
	q.entries++
}

func (q *queue) addTail() {
	id := q.pool.get()
	q.blockCount++
	b := q.pool.blocks[id]
	b[nextWord], b[countWord] = noBlock, 0
	if q.tail == noBlock {
		q.head, q.headAt = id, 0
	} else {
		q.pool.blocks[q.tail][nextWord] = id
	}
	q.tail = id
}

// pop takes out the oldest item; None when there is no item.
func (q *queue) pop() uint32 {
	for q.entries > 0 {
		h := q.popEntry()
		if !q.stale.take(h) {
			return h
		}
	}
	return None
}

func (q *queue) popEntry() uint32 {
	b := q.pool.blocks[q.head]
	h := b[firstEntry+q.headAt]
	q.headAt++
	q.entries--
	if q.headAt == b[countWord] {
		q.dropHead(b[nextWord])
	}
	return h
}

func (q *queue) dropHead(next uint32) {
	if q.sweep.prev == q.head {
		q.sweep.prev = noBlock
	}
	q.pool.put(q.head)
	q.blockCount--
	q.head, q.headAt = next, 0
	if next == noBlock {
		q.tail = noBlock
	}
}

// remove forgets one item of the queue, and sweeps a little when much is stale.
func (q *queue) remove(h uint32) {
	q.stale.add(h)
	if q.stale.count*sweepEntries < q.entries {
		return
	}
	q.sweep.credit += sweepEntries
	if q.sweep.credit >= blockEntries {
		q.sweep.credit = 0
		q.sweepBlock()
	}
}

// sweepBlock drops the stale entries of one block. The head and the tail are left
// alone: they change all the time and are two blocks only.
func (q *queue) sweepBlock() {
	if q.sweep.prev == noBlock {
		q.sweep.prev = q.head
	}
	prev := q.pool.blocks[q.sweep.prev]
	id := prev[nextWord]
	if id == noBlock || id == q.tail {
		q.sweep.prev = noBlock
		return
	}
	b := q.pool.blocks[id]
	q.filter(b)
	if q.sweep.prev == q.head && b[countWord] > 0 {
		q.sweep.prev = id
		return
	}
	q.joinPrevious(prev, b, id)
}

// filter keeps the living entries of a block, in order.
func (q *queue) filter(b *block) {
	kept := uint32(0)
	for i := range b[countWord] {
		h := b[firstEntry+i]
		if q.stale.take(h) {
			q.entries--
			continue
		}
		b[firstEntry+kept] = h
		kept++
	}
	b[countWord] = kept
}

// joinPrevious moves the entries into the block before if they fit, so that no two
// neighbours are less than half full.
func (q *queue) joinPrevious(prev, b *block, id uint32) {
	if prev[countWord]+b[countWord] > blockEntries {
		q.sweep.prev = id
		return
	}
	copy(prev[firstEntry+prev[countWord]:], b[firstEntry:firstEntry+b[countWord]])
	prev[countWord] += b[countWord]
	prev[nextWord] = b[nextWord]
	q.pool.put(id)
	q.blockCount--
}

// release gives all memory back.
func (q *queue) release() {
	for q.head != noBlock {
		next := q.pool.blocks[q.head][nextWord]
		q.pool.put(q.head)
		q.head = next
	}
	q.stale.release()
	*q = newQueue(q.pool)
}
