package shard

import "math"

// slotFor finds a slot for so many bytes, evicting when it must: first in the
// class itself, then in a slightly larger one, at last by emptying a slab of
// another class. It returns 0 only when nothing else is possible.
func (s *Shard) slotFor(bytes int) Handle {
	c := s.classFor(bytes)
	if c >= len(s.sizes) {
		return 0
	}
	if h := s.slotIn(c); h != 0 {
		return h
	}
	s.classes[c].borrowed++
	if h := s.borrow(c+1, 2*s.sizes[c]); h != 0 {
		return h
	}
	for range 2 { // a move under way may fail on a pinned item
		if s.vacateFor(c) {
			return s.slotIn(c)
		}
	}
	return s.borrow(c+1, s.slabBytes)
}

// slotIn takes a slot of one class: free, of a free slab, or a victim's.
func (s *Shard) slotIn(c int) Handle {
	for {
		if h := s.takeSlot(c); h != 0 {
			return h
		}
		if s.assignSlab(c) || s.adoptOne(c) {
			continue
		}
		if !s.evictOne(c) {
			return 0
		}
	}
}

// borrow takes a slot of a larger class that has slabs.
func (s *Shard) borrow(from, limitBytes int) Handle {
	for c := from; c < len(s.sizes) && s.sizes[c] <= limitBytes; c++ {
		if s.classes[c].slabs == 0 {
			continue
		}
		if h := s.takeSlot(c); h != 0 {
			return h
		}
		if s.adoptOne(c) || s.evictOne(c) {
			if h := s.takeSlot(c); h != 0 {
				return h
			}
		}
	}
	return 0
}

// maxPinnedVictims is how many victims in a row may be pinned before a class
// counts as having none.
const maxPinnedVictims = 64

// evictOne evicts the policy's victim in a class; false when there is none that
// is not pinned. With one policy for all classes (CapacityItems) the victim may
// be of another class.
func (s *Shard) evictOne(c int) bool {
	p := s.classes[c].policy
	if p == nil {
		return false
	}
	for try := 0; try < maxPinnedVictims; try++ {
		h, ok := p.Victim()
		if !ok {
			return false
		}
		if s.isPinned(h) {
			p.Restore(h)
			continue
		}
		why := DropMemory
		if p.IsSpare(h) {
			why = DropSpare
		}
		s.dropVictim(h, why)
		return true
	}
	return false
}

// dropVictim removes an item the policy has let go of.
func (s *Shard) dropVictim(h Handle, why Drop) {
	word := s.mem.head(h).word
	if word&flagTTL != 0 && s.tick >= *s.mem.expires(h, word) {
		why = DropExpired
	}
	m := mix(s.hashAt(h))
	if p, ok := s.index.locate(m, h); ok {
		s.index.remove(p)
	}
	if why == DropMemory {
		c := &s.classes[s.slabOf(h).class]
		c.evictions++
		c.window++
		s.sinceBalance++
	}
	s.forget(h, why)
}

// makeCapacity evicts by count.
func (s *Shard) makeCapacity() {
	if s.cfg.CapacityItems == 0 {
		return
	}
	for s.super.items >= uint64(s.cfg.CapacityItems) {
		h, ok := s.global.Victim()
		if !ok {
			return
		}
		s.dropVictim(h, DropCapacity)
	}
}

// vacateFor empties a slab of another class at once and gives it to c. A move
// that is under way is brought to its end first, for c.
func (s *Shard) vacateFor(c int) bool {
	if s.leaving == noSlab {
		i := s.donorSlab(c, true)
		if i == noSlab {
			return false
		}
		s.startWithdrawal(i, c)
	}
	s.leavingFor = c
	moves := s.stats.SlabMoves
	for s.leaving != noSlab {
		s.withdrawSome(math.MaxInt)
	}
	return s.stats.SlabMoves > moves || len(s.freeSlabs) > 0
}
