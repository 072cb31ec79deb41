package shard

import (
	"errors"
	"fmt"

	"gannet/shard/evict"
)

// Integrity looks for what must never be: entries that lead nowhere or twice to
// a slot, items that cannot be found, counts that do not add up. full also
// recomputes every item's sums. It reads everything and is for tests and
// operators, not for production traffic.
func (s *Shard) Integrity(full bool) error {
	seen := make(map[Handle]bool, s.super.items)
	errs := []error{s.faults, s.checkBuckets(seen, full)}
	if s.adopting == 0 {
		errs = append(errs, s.checkSlabs(seen), s.checkCounts(seen), s.checkPolicies())
	}
	return errors.Join(errs...)
}

func (s *Shard) corrupt(format string, args ...any) error {
	return fmt.Errorf("shard %d: "+format, append([]any{s.cfg.ID}, args...)...)
}

func (s *Shard) checkBuckets(seen map[Handle]bool, full bool) error {
	x := &s.index
	last := max(x.super.buckets, x.super.target) + padBuckets
	away := make(map[uint64]uint32)
	for b := uint64(0); b < last; b++ {
		for i, h := range x.at(b).handles {
			if h == 0 {
				continue
			}
			if !s.plausible(h) {
				return s.corrupt("index: bucket %d slot %d leads to %d, which is no item", b, i, h)
			}
			if seen[h] {
				return s.corrupt("index: slot %d is entered twice, again in bucket %d", h, b)
			}
			seen[h] = true
			if err := s.checkEntry(b, i, h, away); err != nil {
				return err
			}
			if full {
				if err := s.checkItem(h); err != nil {
					return err
				}
			}
		}
	}
	for home, n := range away {
		if x.at(home).overflow() < n {
			return s.corrupt("index: bucket %d counts %d entries elsewhere, there are %d", home, x.at(home).overflow(), n)
		}
	}
	return nil
}

func (s *Shard) checkEntry(b uint64, i int, h Handle, away map[uint64]uint32) error {
	x := &s.index
	m := mix(s.hashAt(h))
	home := x.home(m)
	if x.at(b).tags[i] != tagOf(m) {
		return s.corrupt("index: bucket %d slot %d has tag %#x, its key %#x", b, i, x.at(b).tags[i], tagOf(m))
	}
	if b < home || b > home+x.at(home).distance() || (b != home && x.at(home).overflow() == 0) {
		return s.corrupt("index: an item with home %d stands in bucket %d, out of reach", home, b)
	}
	if b != home {
		away[home]++
	}
	return nil
}

func (s *Shard) checkItem(h Handle) error {
	head := s.mem.head(h)
	word := head.word
	if head.version == 0 || head.version > s.super.version {
		return s.corrupt("item %d: version %d, the last given is %d", h, head.version, s.super.version)
	}
	if !checkUnits(s.mem.table(h, word), s.mem.value(h, word)) {
		return s.corrupt("item %d: the value of key %q does not match its sums", h, s.mem.key(h, word))
	}
	return nil
}

// checkSlabs compares each slab's books with its slots.
func (s *Shard) checkSlabs(seen map[Handle]bool) error {
	for i := range s.slabs {
		sl := &s.slabs[i]
		if sl.class != s.classTable[i] {
			return s.corrupt("slab %d: class %d, the table says %d", i, sl.class, s.classTable[i])
		}
		if sl.class < 0 {
			continue
		}
		free, err := s.checkFreeList(i, seen)
		if err != nil {
			return err
		}
		if free != sl.free || sl.used+free != sl.bump {
			return s.corrupt("slab %d: %d used and %d free (%d listed) of %d slots", i, sl.used, sl.free, free, sl.bump)
		}
		if err := s.checkOrphans(i, seen); err != nil {
			return err
		}
	}
	return nil
}

func (s *Shard) checkFreeList(i int, seen map[Handle]bool) (n uint32, err error) {
	sl := &s.slabs[i]
	for h := sl.freeHead; h != 0; n++ {
		if int(h>>s.slabShift) != i || !s.isSlot(h) || seen[h] || n > sl.bump {
			return n, s.corrupt("slab %d: free list leads to %d", i, h)
		}
		head := s.mem.head(h)
		if head.word != 0 {
			return n, s.corrupt("slab %d: free slot %d holds %#x", i, h, head.word)
		}
		h = Handle(head.version)
	}
	return n, nil
}

// checkOrphans looks for items that the index does not lead to.
func (s *Shard) checkOrphans(i int, seen map[Handle]bool) error {
	for slot := range s.slabs[i].bump {
		h := s.slotHandle(i, slot)
		if keyLen(s.mem.head(h).word) != 0 && !seen[h] {
			return s.corrupt("slab %d: nothing leads to the item in slot %d (%q)", i, h, s.mem.key(h, s.mem.head(h).word))
		}
	}
	return nil
}

func (s *Shard) checkCounts(seen map[Handle]bool) error {
	var items, timed, keys, values int64
	for h := range seen {
		word := s.mem.head(h).word
		items++
		keys += int64(keyLen(word))
		values += int64(valueLen(word))
		if word&flagTTL != 0 {
			timed++
		}
	}
	if items != int64(s.super.items) || keys != s.stats.KeyBytes || values != s.stats.ValueBytes || timed != s.wheel.items {
		return s.corrupt("counted %d items of %d + %d bytes, %d with TTL; the books say %d of %d + %d, %d",
			items, keys, values, timed, s.super.items, s.stats.KeyBytes, s.stats.ValueBytes, s.wheel.items)
	}
	return s.checkBudget()
}

func (s *Shard) checkBudget() error {
	used := int64(len(s.slabs)-s.released)*int64(s.slabBytes) + s.index.bytes() + int64(s.indexAt) +
		s.tableRegion.Committed() + s.policyArena.backed + s.wheelArena.backed
	if used+s.budget != s.cfg.MemoryBytes {
		return s.corrupt("%d bytes used and %d left of %d", used, s.budget, s.cfg.MemoryBytes)
	}
	return nil
}

// checkPolicies compares what the policies hold with the items, and follows the
// links of an exact list.
func (s *Shard) checkPolicies() error {
	if s.global != nil {
		if s.global.Len() != int(s.super.items) {
			return s.corrupt("policy %s holds %d of %d items", s.global.Name(), s.global.Len(), s.super.items)
		}
		return s.checkLinks(s.global, -1)
	}
	for i := range s.classes {
		c := &s.classes[i]
		if c.policy == nil {
			continue
		}
		if int64(c.policy.Len()) != c.items {
			return s.corrupt("class %d: policy %s holds %d of %d items", i, c.policy.Name(), c.policy.Len(), c.items)
		}
		if err := s.checkLinks(c.policy, i); err != nil {
			return err
		}
	}
	return nil
}

// checkLinks walks the slots of a class and checks that neighbours name each
// other.
func (s *Shard) checkLinks(p evict.Policy, c int) error {
	if !p.NeedsLinks() {
		return nil
	}
	ends := 0
	for i := range s.slabs {
		if sl := &s.slabs[i]; sl.class < 0 || (c >= 0 && int(sl.class) != c) {
			continue
		}
		for slot := range s.slabs[i].bump {
			h := s.slotHandle(i, slot)
			if keyLen(s.mem.head(h).word) == 0 {
				continue
			}
			k := s.mem.links(h)
			for _, o := range [2]Handle{k.Prev, k.Next} {
				if o == 0 {
					ends++
				} else if int(o>>s.slabShift) >= len(s.slabs) || !s.isSlot(o) || (s.mem.links(o).Next != h && s.mem.links(o).Prev != h) {
					return s.corrupt("links of item %d lead to %d, which does not lead back", h, o)
				}
			}
		}
	}
	if p.Len() > 0 && ends != 2 {
		return s.corrupt("class %d: the list of %d items has %d ends", c, p.Len(), ends)
	}
	return nil
}
