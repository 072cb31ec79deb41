package shard

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"gannet/alloc"
	"gannet/checksum"
)

// Hash is the key hash: the first 64 bits of MurmurHash3 x64 128, seed 0.
func Hash(key []byte) uint64 { return checksum.KeyHash(key) }

// index maps keys to handles. A mixed hash m has its home bucket at
// floor(m × buckets / 2^64), and lives there or, when that was full, in one of
// the buckets after it.
//
// Growth is by an eighth and in place: because the mapping keeps the order of m,
// homes are moved from the last to the first, each into buckets that are behind
// the sweep already. Homes from superblock.sweep on are mapped by target, those
// before it by buckets. So the index is 78 to 89 % full at any size and there is
// no pause.
//
// Each change becomes visible by one store of a handle. Overflow counts go up
// before an entry appears and down after it has gone, so a crash can only leave
// them too high, which costs a look and never loses an item.
type index struct {
	base   unsafe.Pointer // of bucket 0
	super  *superblock
	region *alloc.Region
	limit  uint64 // the most buckets the reserved addresses hold
	backed uint64 // buckets with memory, padding included
	moving []moved
	hook   func(step string) // tests: a place where a crash may strike
}

type moved struct {
	m      uint64
	bucket uint64
	slot   int
	h      Handle
}

const (
	// padBuckets follow the last home, for its overflow.
	padBuckets  = maxDistance + 1
	maxDistance = 127
	minBuckets  = 8
	// growAtTenths: entries for ten buckets at which the index grows. Beyond nine
	// in ten, runs of full buckets get long.
	growAtTenths = 87
	// sweepHomes are moved for each entry added: enough that the homes before the
	// sweep, which fill up meanwhile, gain little.
	sweepHomes    = 4
	oddMultiplier = 0x9E3779B97F4A7C15
)

// mix spreads a key hash: the ring has used its upper bits and the choice of
// the shard its lower half, so within a shard neither is uniform.
func mix(hash uint64) uint64 {
	hash ^= hash >> 32
	hash *= oddMultiplier
	hash ^= hash >> 29
	return hash * 0xBF58476D1CE4E5B9
}

func tagOf(m uint64) uint16 { return uint16(m) }

// homes maps mixed hashes to home buckets, as long as the index does not grow.
type homes struct{ buckets, sweep, target uint64 }

func (x *index) homes() homes { return homes{x.super.buckets, x.super.sweep, x.super.target} }

// of returns the number of m's home bucket.
func (h homes) of(m uint64) uint64 {
	b, _ := bits.Mul64(m, h.buckets)
	if b >= h.sweep {
		b, _ = bits.Mul64(m, h.target)
	}
	return b
}

// home returns the number of m's home bucket.
func (x *index) home(m uint64) uint64 { return x.homes().of(m) }

func (x *index) at(b uint64) *bucket { return bucketAt(x.base, b) }

// place is where a bucket is, for prefetch.
func (x *index) place(b uint64) unsafe.Pointer { return bucketPlace(x.base, b) }

func (b *bucket) overflow() uint32          { return b.meta & 0xFFFF }
func (b *bucket) distance() uint64          { return uint64(b.meta >> 16 & 0xFF) }
func (b *bucket) setHandle(i int, h Handle) { atomic.StoreUint32(&b.handles[i], h) }

// place is where an entry is.
type place struct {
	home   uint64
	bucket uint64
	slot   int
}

// lookup finds the entry of a key.
func (s *Shard) lookup(m uint64, key []byte) (Handle, place) {
	home := s.index.home(m)
	first := s.index.at(home)
	tag := tagOf(m)
	b, last := home, home
	if first.overflow() != 0 {
		last += first.distance()
	}
	for ; b <= last; b++ {
		at := s.index.at(b)
		for hits := at.match(tag); hits != 0; hits &= hits - 1 {
			i := bits.TrailingZeros32(hits)
			if h := at.handles[i]; h != 0 && s.followable(h) && s.mem.keyIs(h, s.mem.head(h).word, key) {
				return h, place{home, b, i}
			}
		}
	}
	return 0, place{home: home}
}

// followable guards against handles in an index that may be damaged.
func (s *Shard) followable(h Handle) bool { return !s.verifying || s.plausible(h) }

// locate finds the entry of a handle.
func (x *index) locate(m uint64, h Handle) (place, bool) {
	home := x.home(m)
	last := home
	if first := x.at(home); first.overflow() != 0 {
		last += first.distance()
	}
	for b := home; b <= last; b++ {
		at := x.at(b)
		for i := range at.handles {
			if at.handles[i] == h {
				return place{home, b, i}, true
			}
		}
	}
	return place{}, false
}

// insert adds an entry; false when there is no room within reach.
func (x *index) insert(m uint64, h Handle) bool { return x.insertAt(x.home(m), m, h) }

func (x *index) insertAt(home, m uint64, h Handle) bool {
	first := x.at(home)
	for d := uint64(0); d <= maxDistance; d++ {
		at := x.at(home + d)
		i := at.vacant()
		if i < 0 {
			continue
		}
		if d > 0 {
			if first.overflow() == 0xFFFF {
				return false
			}
			first.meta = (first.meta+1)&0xFFFF | uint32(max(d, first.distance()))<<16
			x.step("insert-counted")
		}
		at.tags[i] = tagOf(m)
		x.step("insert-tagged")
		at.setHandle(i, h)
		return true
	}
	return false
}

func (x *index) step(name string) {
	if x.hook != nil {
		x.hook(name)
	}
}

// vacant returns a free slot, -1 when there is none.
func (b *bucket) vacant() int {
	for i, h := range b.handles {
		if h == 0 {
			return i
		}
	}
	return -1
}

// remove takes the entry at p away.
func (x *index) remove(p place) {
	x.at(p.bucket).setHandle(p.slot, 0)
	x.step("removed")
	if p.bucket != p.home {
		x.at(p.home).uncount()
	}
}

// uncount notes that one overflowed entry has gone. At a full count the true
// number is unknown, so it stays.
func (b *bucket) uncount() {
	switch n := b.overflow(); {
	case n == 1:
		b.meta = 0
	case n > 1 && n < 0xFFFF:
		b.meta--
	}
}

// replace exchanges the handle at p.
func (x *index) replace(p place, h Handle) { x.at(p.bucket).setHandle(p.slot, h) }

// bytes is the memory the buckets take.
func (x *index) bytes() int64 { return int64(x.backed) * bucketBytes }
