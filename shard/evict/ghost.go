package evict

import "math/bits"

// A ghost bucket is one cache line of 16 words, a ring of fingerprints:
//
//	word 0     filled:8 | newest:8
//	word 1..15 30 fingerprints of 16 bits
//
// The newest fingerprint overwrites the oldest, so a key is remembered for about
// as many insertions as there are places, give or take the spread of the hash,
// and a fingerprint's distance from the newest tells its age. No clock and no
// cleaning is needed. A wrong match happens in 30 of 65,536 look-ups.
const (
	bucketWords  = 16
	bucketPlaces = 30
	blockBuckets = blockWords / bucketWords
	ghostSlack   = 8 // resized when the wanted size is off by 1/8 and a bucket
)

// ghost remembers the keys of recently evicted items.
type ghost struct {
	pool    *Pool
	current ghostTable
	// previous answers look-ups after a change of size, until current has seen as
	// many insertions as it has places.
	previous   ghostTable
	insertions int // into current
	places     int // wanted at the last insertion
}

// ghostTable is a set of buckets. A block is taken when a bucket in it is first
// written.
type ghostTable struct {
	dir        []uint32
	buckets    uint32
	blockCount int
}

func newGhost(pool *Pool) ghost { return ghost{pool: pool} }

func (g *ghost) bytes() int64 {
	return int64(g.current.blockCount+g.previous.blockCount) * blockBytes
}

// add remembers a key, in a ghost of about places places.
func (g *ghost) add(hash uint64, places int) {
	want := uint32((places + bucketPlaces - 1) / bucketPlaces)
	have := g.current.buckets
	slack := have/ghostSlack + 1
	if have == 0 || want > have+slack || want+slack < have {
		g.resize(max(1, want))
	}
	g.places = places
	if g.insertions++; g.insertions > int(g.current.buckets)*bucketPlaces {
		g.previous.release(g.pool)
	}
	index, print := g.current.locate(hash)
	g.current.bucket(g.pool, index).push(print)
}

// take forgets a key and says whether it was remembered, and how many keys of its
// bucket were younger.
func (g *ghost) take(hash uint64) (younger int, found bool) {
	if younger, found = g.current.take(g.pool, hash); found {
		return younger, younger*int(g.current.buckets) < g.places
	}
	if _, found = g.previous.take(g.pool, hash); found {
		return bucketPlaces, true
	}
	return 0, false
}

// resize begins a new table and keeps the present one for look-ups.
func (g *ghost) resize(buckets uint32) {
	g.previous.release(g.pool)
	spare := g.previous.dir
	g.previous = g.current
	blocks := int((buckets + blockBuckets - 1) / blockBuckets)
	if cap(spare) < blocks {
		spare = make([]uint32, blocks+blocks/4)
	}
	spare = spare[:blocks]
	clear(spare)
	g.current = ghostTable{dir: spare, buckets: buckets}
	g.insertions = 0
}

func (g *ghost) release() {
	g.current.release(g.pool)
	g.previous.release(g.pool)
	*g = newGhost(g.pool)
}

// locate spreads the key hash anew: the index of the shard and the ring have used
// its bits already, so keys of one class on one shard would not be uniform.
func (t *ghostTable) locate(hash uint64) (index uint32, print uint16) {
	high, low := bits.Mul64(hash^0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93)
	mixed := high ^ low
	return uint32(mixed >> 32 * uint64(t.buckets) >> 32), uint16(mixed)
}

type ghostBucket [bucketWords]uint32

// bucket finds a bucket for writing.
func (t *ghostTable) bucket(pool *Pool, index uint32) *ghostBucket {
	id := t.dir[index/blockBuckets]
	if id == noBlock {
		id = pool.get()
		t.dir[index/blockBuckets] = id
		t.blockCount++
		for i := range blockBuckets {
			pool.blocks[id][i*bucketWords] = 0
		}
	}
	return bucketOf(pool.blocks[id], index)
}

func bucketOf(b *block, index uint32) *ghostBucket {
	at := index % blockBuckets * bucketWords
	return (*ghostBucket)(b[at : at+bucketWords])
}

func (t *ghostTable) take(pool *Pool, hash uint64) (younger int, found bool) {
	if t.buckets == 0 {
		return 0, false
	}
	index, print := t.locate(hash)
	id := t.dir[index/blockBuckets]
	if id == noBlock {
		return 0, false
	}
	return bucketOf(pool.blocks[id], index).take(print)
}

func (t *ghostTable) release(pool *Pool) {
	for _, id := range t.dir {
		if id != noBlock {
			pool.put(id)
		}
	}
	*t = ghostTable{dir: t.dir[:0]}
}

func (b *ghostBucket) print(place uint32) uint16 {
	return uint16(b[1+place/2] >> (place % 2 * 16))
}

func (b *ghostBucket) setPrint(place uint32, print uint16) {
	shift := place % 2 * 16
	b[1+place/2] = b[1+place/2]&^(0xffff<<shift) | uint32(print)<<shift
}

func (b *ghostBucket) ring() (filled, newest uint32) { return b[0] >> 8 & 0xff, b[0] & 0xff }

func (b *ghostBucket) setRing(filled, newest uint32) { b[0] = filled<<8 | newest }

// push writes over the oldest print.
func (b *ghostBucket) push(print uint16) {
	filled, newest := b.ring()
	newest = (newest + 1) % bucketPlaces
	b.setPrint(newest, print)
	b.setRing(min(filled+1, bucketPlaces), newest)
}

// take removes the youngest equal print; the younger ones move up.
func (b *ghostBucket) take(print uint16) (younger int, found bool) {
	filled, newest := b.ring()
	for i := range filled {
		place := (newest + bucketPlaces - i) % bucketPlaces
		if b.print(place) != print {
			continue
		}
		b.closeGap(place, i)
		b.setRing(filled-1, (newest+bucketPlaces-1)%bucketPlaces)
		return int(i), true
	}
	return 0, false
}

// closeGap moves the younger prints one place towards the older side.
func (b *ghostBucket) closeGap(place, younger uint32) {
	for range younger {
		next := (place + 1) % bucketPlaces
		b.setPrint(place, b.print(next))
		place = next
	}
}
