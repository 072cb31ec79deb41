package shard

// newItem is what store puts into a slot.
type newItem struct {
	key, value []byte
	hash       uint64
	version    uint64
	stored     uint32
	expires    uint32 // ticks; never
	soft       uint32
	spare      bool // the first to go when room is needed
}

func (n *newItem) word() uint64 {
	return makeWord(len(n.key), len(n.value), n.stored, n.expires != never, n.soft != never)
}

// store puts an item into the index in place of any older one with its key. The
// item is whole before the one store that makes it visible. filled is a slot
// that holds key, value and sums already (an upload), or 0.
func (s *Shard) store(m uint64, n *newItem, filled Handle) Status {
	h := filled
	if h == 0 {
		word := n.word()
		if h = s.slotFor(s.mem.size(word)); h == 0 {
			s.stats.ByDrop[DropNoMemory]++
			return NoMemory
		}
		s.fill(h, word, n)
	}
	if !s.publish(m, n, h) {
		if filled == 0 {
			s.freeSlot(h)
		}
		s.stats.ByDrop[DropNoMemory]++
		return NoMemory
	}
	if n.expires != never {
		s.schedule(h, n.expires)
	}
	return OK
}

// fill writes all of an item. The header's word comes last: until then the slot
// counts as free.
func (s *Shard) fill(h Handle, word uint64, n *newItem) {
	copy(s.mem.key(h, word), n.key)
	value := s.mem.value(h, word)
	copy(value, n.value)
	fillUnits(s.mem.table(h, word), value)
	s.setTimes(h, word, n)
	head := s.mem.head(h)
	head.version = n.version
	head.word = word | s.gen
}

func (s *Shard) setTimes(h Handle, word uint64, n *newItem) {
	if word&flagTTL != 0 {
		*s.mem.expires(h, word) = n.expires
	}
	if word&flagSoft != 0 {
		*s.mem.soft(h, word) = n.soft
	}
}

// publish makes a filled slot the item of its key.
func (s *Shard) publish(m uint64, n *newItem, h Handle) bool {
	s.index.step("filled")
	if old, p := s.lookup(m, n.key); old != 0 {
		s.exchange(p, n, old, h)
		return true
	}
	s.makeCapacity()
	if !s.index.insert(m, h) && !s.squeeze(m, h) {
		return false
	}
	s.super.items++
	c := &s.classes[s.slabOf(h).class]
	s.countItem(c, s.mem.head(h).word)
	if n.spare {
		c.policy.InsertSpare(h)
	} else {
		c.policy.Insert(h, n.hash)
	}
	s.growIndex()
	return true
}

// exchange puts a new slot in the place of an old one, which is freed. The item
// keeps its standing with the policy, but for a spare one that gets a value that is
// not.
func (s *Shard) exchange(p place, n *newItem, old, h Handle) {
	s.index.replace(p, h)
	s.index.step("replaced")
	head, was := s.mem.head(h), s.mem.head(old)
	head.word |= was.word & policyBits
	s.discard(old, 0, DropReplaced)
	s.super.items++
	c := &s.classes[s.slabOf(h).class]
	s.countItem(c, head.word)
	if c.policy.IsSpare(h) && !n.spare {
		c.policy.Insert(h, n.hash)
		return
	}
	c.policy.Adopt(h)
}

// squeeze makes room near a home by dropping an item that lives there. It
// happens only when the index cannot get memory to grow.
func (s *Shard) squeeze(m uint64, h Handle) bool {
	b := s.index.at(s.index.home(m))
	for _, victim := range b.handles {
		if victim != 0 && victim != h && !s.isPinned(victim) {
			s.dropLive(victim, DropIndex)
			return s.index.insert(m, h)
		}
	}
	return false
}
