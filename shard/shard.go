package shard

import (
	"gannet/alloc"
	"gannet/shard/evict"
)

// Shard is one core's partition. One goroutine owns it; nothing is locked.
type Shard struct {
	cfg   Config
	super *superblock
	index index
	mem   memory
	sink  uint64 // keeps early loads from being optimised away

	// Time, set by begin: nanoseconds of the boot clock, eighths of a second and
	// seconds since the origin.
	now  int64
	tick uint32
	sec  uint32

	gen       uint64 // generation of verified items, in place in word 1
	verifying bool   // after an unclean end, until the pass is through
	verifyAt  uint64 // next bucket of the pass
	adopting  int    // slabs not adopted yet
	adoptAt   int

	sizes        []int // of the classes' slots
	classOfSmall [smallLookup/8 + 1]uint16
	classes      []class
	classTable   []int16 // mapped
	slabs        []slab
	slabShift    uint // handle → slab
	slabBytes    int
	freeSlabs    []int32
	released     int

	leaving    int32 // slab being emptied, noSlab
	leavingAt  uint32
	leavingFor int
	guard      Handle // not to be evicted during this write

	sinceBalance int
	budget       int64 // of MemoryBytes, not taken by anything yet
	shortage     int64 // wanted from the budget in vain
	indexFull    bool
	indexAt      uint64 // of bucket 0 in the index region

	global  evict.Policy // with CapacityItems
	hitBits [8]uint8     // see evict.Policy.HitBits
	pool    *evict.Pool

	wheel       wheel
	leases      leases
	tombs       tombs
	residents   []resident // of the home that a scan looks at
	window      window     // of operations that differ when done twice
	recentPlain recent     // of the others
	pins        pins
	uploads     uploads
	heavy       heavy
	scratch     scratch
	record      LogRecord // tell's

	indexRegion, slabRegion, tableRegion *alloc.Region
	policyArena, wheelArena              arena

	stats  Stats
	faults error // what went wrong in the background, for Integrity
}

// begin sets the time of the operation that follows. Time never goes back.
func (s *Shard) begin(nowNanos int64) {
	if nowNanos <= s.now {
		return
	}
	s.now = nowNanos
	since := nowNanos - s.super.originNanos
	s.tick = uint32(since / (1e9 / ticksPerSecond))
	s.sec = s.tick / ticksPerSecond
}

// hashAt returns the key hash of an item.
func (s *Shard) hashAt(h Handle) uint64 { return Hash(s.mem.key(h, s.mem.head(h).word)) }

// Len is the number of items; after an unclean end it is exact when adoption is
// through.
func (s *Shard) Len() int { return int(s.super.items) }

// SetEpoch makes versions begin with a greater epoch; a smaller one is ignored.
func (s *Shard) SetEpoch(epoch uint32) {
	if v := uint64(epoch&maxEpoch)<<sequenceBits | s.super.version&maxSequence; v > s.super.version {
		s.super.version = v
	}
}

// Epoch is the epoch of the next version.
func (s *Shard) Epoch() uint32 { return uint32(s.super.version >> sequenceBits) }

const (
	sequenceBits = 40
	maxSequence  = 1<<sequenceBits - 1
	maxEpoch     = 1<<24 - 1
)

// nextVersion is greater than every version seen here. It is taken before the
// item appears, so that no successor gives it again.
func (s *Shard) nextVersion() uint64 {
	s.super.version++
	return s.super.version
}

// seenVersion keeps later versions above one that came from elsewhere.
func (s *Shard) seenVersion(v uint64) { s.super.version = max(s.super.version, v) }

// remaining converts an expiry to seconds left, NoTTL for none.
func (s *Shard) remaining(ticks uint32) uint32 {
	switch {
	case ticks == never:
		return NoTTL
	case ticks <= s.tick:
		return 0
	}
	return max((ticks-s.tick)/ticksPerSecond, 1)
}

// never is the expiry of an item whose TTL was taken away.
const never = ^uint32(0)

// deadline is the expiry that lies seconds ahead; 0 seconds mean never.
func (s *Shard) deadline(seconds uint32) uint32 {
	if seconds == 0 {
		return never
	}
	return s.tick + seconds*ticksPerSecond + 1
}

// ageSeconds is how long ago the item was stored.
func (s *Shard) ageSeconds(word uint64) uint32 {
	stored := uint32(word >> storedShift & storedMask)
	if stored >= s.sec {
		return 0
	}
	return s.sec - stored
}

// expired reports whether an item's hard TTL has passed.
func (s *Shard) expired(h Handle, word uint64) bool {
	return word&flagTTL != 0 && s.tick >= *s.mem.expires(h, word)
}

// Version is the greatest version that this shard has given or seen.
func (s *Shard) Version() uint64 { return s.super.version }

// SlabMemory is the slab region, for a UMEM that sends values from their slots.
func (s *Shard) SlabMemory() []byte { return s.slabRegion.Bytes() }

// SlabsAreHuge says that all slabs lie on 2 MiB pages. No slot crosses a border
// between two of them: slabs are at most that large, and aligned to their size.
func (s *Shard) SlabsAreHuge() bool { return s.slabRegion.Huge }

// SlabBytes is the size of a slab: 2 MiB, less in small shards.
func (s *Shard) SlabBytes() int { return s.slabBytes }

// dropLive removes an item from everywhere.
func (s *Shard) dropLive(h Handle, why Drop) {
	m := mix(s.hashAt(h))
	if p, ok := s.index.locate(m, h); ok {
		s.index.remove(p)
	}
	s.discard(h, m, why)
}

// discard lets go of an item that is not in the index any more.
func (s *Shard) discard(h Handle, _ uint64, why Drop) {
	if sl := s.slabOf(h); sl.knows(h) {
		s.classes[sl.class].policy.Remove(h)
	}
	s.forget(h, why)
}

// forget frees the slot of an item that neither index nor policy know any more.
func (s *Shard) forget(h Handle, why Drop) {
	head := s.mem.head(h)
	s.stats.ByDrop[why]++
	s.logDrop(h, head, why)
	if sl := s.slabOf(h); sl.knows(h) {
		s.uncountItem(&s.classes[sl.class], head.word)
	}
	if s.super.items > 0 {
		s.super.items--
	}
	s.freeSlot(h)
}

func (s *Shard) countItem(c *class, word uint64) {
	c.items++
	s.stats.KeyBytes += int64(keyLen(word))
	s.stats.ValueBytes += int64(valueLen(word))
	if word&flagTTL != 0 {
		s.wheel.items++
	}
}

func (s *Shard) uncountItem(c *class, word uint64) {
	c.items--
	s.stats.KeyBytes -= int64(keyLen(word))
	s.stats.ValueBytes -= int64(valueLen(word))
	if word&flagTTL != 0 {
		s.wheel.items--
	}
}

// logDrop tells the log about items that went away by themselves.
func (s *Shard) logDrop(h Handle, head *header, why Drop) {
	if s.cfg.Log == nil {
		return
	}
	kind := RecordEvict
	switch why {
	case DropMemory, DropCapacity, DropSlabMove, DropIndex, DropCorrupt, DropSpare:
	case DropExpired, DropWheel:
		kind = RecordExpire
	default:
		return // deletes and replacements are logged as such
	}
	key := s.mem.key(h, head.word)
	s.tell(kind, Hash(key), head.version, key, nil, 0, 0)
}

// Advance does background work in bounded slices: timers, adoption and
// verification after an attach, moving slabs, decay. Call it between batches.
// It returns how many steps it took; less than budget means nothing is left.
func (s *Shard) Advance(nowNanos int64, budget int) (work int) {
	s.begin(nowNanos)
	work = s.runWheel(budget)
	if s.verifying && work < budget {
		work += s.verifySome(budget - work)
	}
	if s.adopting > 0 && work < budget {
		work += s.adoptSome(budget - work)
	}
	if s.leaving != noSlab && work < budget {
		work += s.withdrawSome(budget - work)
	}
	if s.shortage > 0 && s.leaving == noSlab {
		s.relieve()
	}
	work += s.reclaimUploads()
	s.heavy.decay(s.sec)
	return work
}
