package shard

import (
	"fmt"

	"gannet/shard/evict"
)

// Classes of slabs that serve none.
const (
	slabFree     int16 = -1 // zero memory, or garbage of an earlier class
	slabReleased int16 = -2 // given back: the index or a policy uses the memory
	noSlab       int32 = -1
)

// slab is what the shard knows of 2 MiB (or less) of slots. It is rebuilt after
// an attach; only the class is persistent, in the class table of the index file.
type slab struct {
	freeHead Handle // list of free slots
	free     uint32 // its length
	// Adoption: the next slot to look at, and the end of those that were.
	adoptNext uint32
	adoptedTo Handle
	bump      uint32 // slots from here on were never used since the class changed
	used      uint32 // slots that hold items, uploads or pinned remains
	pins      uint32 // pinned slots and uploads: while there are some it cannot move
	next      int32  // in the class's list of slabs with free slots
	prev      int32
	class     int16
	listed    bool
	adopted   bool // all its slots were looked at since the attach
	leaving   bool // being emptied: no new items
}

// class is one slot size.
type class struct {
	policy    evict.Policy // nil until the first slab
	slots     uint32       // in a slab
	partial   int32        // slabs with free slots
	slabs     int32
	items     int64
	evictions uint64
	unadopted int32
	window    uint32  // evictions since the balancer looked
	rate      float64 // the same, smoothed
	borrowed  uint32  // items that had to take a larger class's slot, since then
}

// knows reports whether the books include a slot.
func (sl *slab) knows(h Handle) bool { return sl.adopted || h < sl.adoptedTo }

func (s *Shard) slabOf(h Handle) *slab { return &s.slabs[h>>s.slabShift] }

func (s *Shard) slotHandle(slabIndex int, slot uint32) Handle {
	sl := &s.slabs[slabIndex]
	bytes := slabLeadBytes + int(slot)*s.sizes[sl.class]
	return Handle(slabIndex)<<s.slabShift + Handle(bytes>>3)
}

// slotBytes is the room in the slot of a handle.
func (s *Shard) slotBytes(h Handle) int { return s.sizes[s.slabOf(h).class] }

// plausible reports whether a handle read from a damaged index can be followed.
func (s *Shard) plausible(h Handle) bool {
	i := int(h >> s.slabShift)
	if i >= len(s.slabs) || s.slabs[i].class < 0 {
		return false
	}
	size := s.sizes[s.slabs[i].class]
	at := int(h&(1<<s.slabShift-1))<<3 - slabLeadBytes
	if at < 0 || at%size != 0 || at/size >= int(s.classes[s.slabs[i].class].slots) {
		return false
	}
	word := s.mem.head(h).word
	return keyLen(word) >= 1 && keyLen(word) <= MaxKeyBytes && s.mem.size(word) <= size
}

// setClass changes what a slab serves, by one store in the class table. Its
// slots must be empty.
func (s *Shard) setClass(i int, c int16) {
	s.classTable[i] = c
	s.index.step("slab-class")
	s.slabs[i] = slab{class: c, next: noSlab, prev: noSlab, adopted: true}
}

// assignSlab gives a free slab to a class.
func (s *Shard) assignSlab(c int) bool {
	n := len(s.freeSlabs)
	if n == 0 || !s.ensurePolicy(c) {
		return false
	}
	i := s.freeSlabs[n-1]
	s.freeSlabs = s.freeSlabs[:n-1]
	s.setClass(int(i), int16(c))
	s.classes[c].slabs++
	s.list(i)
	return true
}

// list puts a slab among those of its class with free slots.
func (s *Shard) list(i int32) {
	sl := &s.slabs[i]
	if sl.listed || sl.leaving || !sl.adopted {
		return
	}
	c := &s.classes[sl.class]
	sl.listed, sl.prev, sl.next = true, noSlab, c.partial
	if c.partial != noSlab {
		s.slabs[c.partial].prev = i
	}
	c.partial = i
}

func (s *Shard) unlist(i int32) {
	sl := &s.slabs[i]
	if !sl.listed {
		return
	}
	if sl.prev != noSlab {
		s.slabs[sl.prev].next = sl.next
	} else {
		s.classes[sl.class].partial = sl.next
	}
	if sl.next != noSlab {
		s.slabs[sl.next].prev = sl.prev
	}
	sl.listed, sl.prev, sl.next = false, noSlab, noSlab
}

// takeSlot takes a free slot of a class, 0 when there is none. The slot's word
// stays 0 until an item is in it.
func (s *Shard) takeSlot(c int) Handle {
	i := s.classes[c].partial
	if i == noSlab {
		return 0
	}
	sl := &s.slabs[i]
	sl.used++
	h := sl.freeHead
	if h != 0 {
		sl.freeHead = Handle(s.mem.head(h).version)
		sl.free--
	} else {
		h = s.slotHandle(int(i), sl.bump)
		sl.bump++
	}
	if sl.freeHead == 0 && sl.bump == s.classes[c].slots {
		s.unlist(i)
	}
	s.unpoison(h)
	s.mem.head(h).word = 0
	s.stats.SlotBytes += int64(s.sizes[c])
	return h
}

// freeSlot gives a slot back; a pinned one waits for its last Unpin.
func (s *Shard) freeSlot(h Handle) {
	s.mem.head(h).word = 0
	if s.pins.len() > 0 && s.pins.markFreed(h) {
		return
	}
	s.recycle(h)
}

func (s *Shard) recycle(h Handle) {
	i := int32(h >> s.slabShift)
	sl := &s.slabs[i]
	if !sl.knows(h) {
		return // adoption will find it free
	}
	s.stats.SlotBytes -= int64(s.sizes[sl.class])
	s.mem.head(h).version = uint64(sl.freeHead)
	s.poison(h)
	sl.freeHead = h
	sl.free++
	sl.used--
	if sl.used == 0 && sl.adopted && !sl.leaving && s.classes[sl.class].slabs > 1 {
		s.retireSlab(i)
		return
	}
	s.list(i)
}

// retireSlab takes an empty slab out of its class, so that any other can have it
// without evicting.
func (s *Shard) retireSlab(i int32) {
	s.unlist(i)
	s.classes[s.slabs[i].class].slabs--
	s.setClass(int(i), slabFree)
	s.poisonSlab(int(i))
	s.freeSlabs = append(s.freeSlabs, i)
}

// ensurePolicy makes the policy of a class when its first slab comes.
func (s *Shard) ensurePolicy(c int) bool {
	if s.classes[c].policy != nil {
		return true
	}
	p := s.global
	if p == nil {
		var err error
		if p, err = evict.New(s.cfg.Policy, policyMeta{s}, evict.Config{Pool: s.pool}); err != nil {
			return false // refused by check already
		}
	}
	s.classes[c].policy, s.hitBits = p, p.HitBits()
	return true
}

// takeBudget reserves bytes of the shard's memory for something other than
// slabs, by releasing free slabs. When there is none, the balancer is asked to
// empty one.
func (s *Shard) takeBudget(bytes int64) bool {
	for s.budget < bytes {
		if !s.releaseSlab() {
			s.shortage = bytes
			return false
		}
	}
	s.budget -= bytes
	return true
}

func (s *Shard) giveBudget(bytes int64) { s.budget += bytes }

// releaseSlab gives the memory of a free slab back to the system.
func (s *Shard) releaseSlab() bool {
	n := len(s.freeSlabs)
	if n == 0 {
		return false
	}
	i := int(s.freeSlabs[n-1])
	s.freeSlabs = s.freeSlabs[:n-1]
	s.setClass(i, slabReleased)
	s.released++
	s.decommitSlab(i)
	s.budget += int64(s.slabBytes)
	return true
}

func (s *Shard) decommitSlab(i int) {
	from := int64(i) * int64(s.slabBytes)
	if err := s.slabRegion.Decommit(from, from+int64(s.slabBytes)); err != nil {
		s.faults = fmt.Errorf("shard %d: release a slab: %w", s.cfg.ID, err)
	}
}

// policyMeta shows items to the eviction policies.
type policyMeta struct{ s *Shard }

func (m policyMeta) Bits(h uint32) uint8 {
	return uint8(m.s.mem.head(h).word >> flagShift & 7)
}

func (m policyMeta) SetBits(h uint32, b uint8) {
	head := m.s.mem.head(h)
	head.word = head.word&^policyBits | uint64(b&7)<<flagShift
}

func (m policyMeta) Links(h uint32) *evict.Links { return m.s.mem.links(h) }
func (m policyMeta) Hash(h uint32) uint64        { return m.s.hashAt(h) }
