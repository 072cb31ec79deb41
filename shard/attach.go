package shard

import (
	"fmt"
	"math"
)

// attach takes over what a predecessor left. It touches the superblock, the
// class table and, after an unclean end, one index step: not the items.
func (s *Shard) attach(rec *Recovery) {
	s.index.backed = (uint64(s.indexRegion.Committed()) - s.indexAt) / bucketBytes
	s.takeStock()
	rec.Undone = s.settleIntent()
	if !rec.Clean {
		s.newGeneration()
	}
	s.gen = uint64(s.super.generation) << genShift
	rec.Verify = s.verifying
}

// takeStock rebuilds the slabs from the class table; none is adopted yet.
func (s *Shard) takeStock() {
	for i := len(s.slabs) - 1; i >= 0; i-- {
		c := s.classTable[i]
		if int(c) >= len(s.classes) || c < slabReleased {
			c = slabFree // damaged: its items fail to be located and vanish
			s.classTable[i] = c
		}
		s.slabs[i] = slab{class: c, next: noSlab, prev: noSlab, adopted: true}
		switch {
		case c == slabFree:
			s.freeSlabs = append(s.freeSlabs, int32(i))
		case c == slabReleased:
			s.released++
			s.decommitSlab(i) // again: the predecessor may not have come to it
		default:
			s.takeOver(i)
		}
	}
	s.budget -= int64(s.index.backed)*bucketBytes + int64(s.indexAt) + int64(len(s.slabs)-s.released)*int64(s.slabBytes)
}

func (s *Shard) takeOver(i int) {
	sl := &s.slabs[i]
	c := &s.classes[sl.class]
	sl.adopted, sl.bump = false, c.slots
	s.ensurePolicy(int(sl.class))
	c.slabs++
	c.unadopted++
	s.adopting++
}

// settleIntent completes or undoes the step the predecessor was in, and says
// which.
func (s *Shard) settleIntent() string {
	b := s.super
	kind, detail := b.intentKind, b.intentDetail
	undone := ""
	switch kind {
	case intentSweep:
		if detail+1 == b.sweep && b.sweep <= b.buckets {
			s.verifying = true // handles are checked before they are followed
			s.redoSweep(detail)
			s.verifying = false
			undone = fmt.Sprintf("index sweep of bucket %d completed", detail)
		}
	case intentWithdraw:
		undone = fmt.Sprintf("emptying of slab %d stopped", detail)
	}
	b.intentKind = intentNone
	if s.redoRewrite() {
		if undone != "" {
			undone += ", "
		}
		undone += "rewriting of an item completed"
	}
	if b.sweep == 0 {
		b.buckets = b.target
		b.sweep = b.buckets
	}
	return undone
}

// newGeneration declares all items unverified. There are four generations, so
// after three unclean ends without a complete pass in between, the next pass is
// made here and now.
func (s *Shard) newGeneration() {
	s.super.generation = (s.super.generation + 1) & 3
	s.super.unverified++
	s.gen = uint64(s.super.generation) << genShift
	s.verifying = true
	if s.super.unverified > 3 {
		for s.verifying {
			s.verifyBucket(true)
		}
	}
}

// verifyItem checks an item of an earlier generation at its first touch, and
// drops it when it is damaged.
func (s *Shard) verifyItem(h Handle) bool {
	head := s.mem.head(h)
	if checkUnits(s.mem.table(h, head.word), s.mem.value(h, head.word)) {
		head.word = head.word&^genMask | s.gen
		s.stats.Verified++
		return true
	}
	s.dropLive(h, DropCorrupt)
	return false
}

// verifySome moves the background pass on.
func (s *Shard) verifySome(budget int) (work int) {
	for work < budget && s.verifying {
		work += s.verifyBucket(false)
	}
	return work
}

// verifyBucket checks the entries of the next bucket: handle, key, home, sums.
// Entries move only backwards in a sweep, to buckets further on, so none is
// missed; those met twice cost a look.
func (s *Shard) verifyBucket(all bool) (work int) {
	x := &s.index
	b := x.at(s.verifyAt)
	for i, h := range b.handles {
		if h == 0 {
			continue
		}
		work++
		if !s.plausible(h) || !s.nearHome(h) {
			b.setHandle(i, 0)
			s.stats.ByDrop[DropCorrupt]++
			if s.super.items > 0 {
				s.super.items--
			}
			continue
		}
		if word := s.mem.head(h).word; all || word&genMask != s.gen {
			s.verifyItem(h)
		}
	}
	if s.verifyAt++; s.verifyAt >= max(x.super.buckets, x.super.target)+padBuckets {
		s.verifying, s.super.unverified = false, 0
		if s.adopting == 0 {
			s.recount()
		}
	}
	return work + 1
}

// nearHome reports whether the index leads from the item's key to bucket
// verifyAt.
func (s *Shard) nearHome(h Handle) bool {
	_, ok := s.index.locate(mix(s.hashAt(h)), h)
	return ok
}

// adoptSome adopts slots in the order of slabs.
func (s *Shard) adoptSome(budget int) (work int) {
	for work < budget && s.adopting > 0 {
		for s.slabs[s.adoptAt].adopted {
			s.adoptAt++
		}
		work += s.adoptSlots(s.adoptAt, budget-work) + 1
	}
	return work
}

// adoptOne adopts a slab of a class that needs a slot; false when all are.
func (s *Shard) adoptOne(c int) bool {
	if s.adopting == 0 || s.classes[c].unadopted == 0 {
		return false
	}
	for i := range s.slabs {
		if sl := &s.slabs[i]; !sl.adopted && int(sl.class) == c {
			s.adoptSlab(i)
			return true
		}
	}
	return false
}

// adoptSlab adopts what is left of a slab. If it turns out empty it may leave
// its class by that.
func (s *Shard) adoptSlab(i int) { s.adoptSlots(i, math.MaxInt) }

// adoptSlots looks at up to n slots of a slab: those the index leads to go to
// the eviction policy and the timer wheel, the others are freed.
func (s *Shard) adoptSlots(i, n int) (looked int) {
	sl := &s.slabs[i]
	c := &s.classes[sl.class]
	if sl.adoptNext == 0 {
		sl.used = c.slots
		s.stats.SlotBytes += int64(c.slots) * int64(s.sizes[sl.class])
	}
	for ; looked < n && sl.adoptNext < c.slots; looked++ {
		h := s.slotHandle(i, sl.adoptNext)
		sl.adoptNext++
		sl.adoptedTo = h + 1
		switch {
		case s.adoptable(h):
			s.adoptItem(h, c)
		case s.pins.has(h): // its item has gone; the last Unpin frees it
		default:
			s.mem.head(h).word = 0
			s.recycle(h)
		}
	}
	if sl.adoptNext == c.slots {
		s.adopted(int32(i))
	}
	return looked
}

// adopted ends the adoption of a slab.
func (s *Shard) adopted(i int32) {
	sl := &s.slabs[i]
	c := &s.classes[sl.class]
	sl.adopted = true
	c.unadopted--
	s.adopting--
	switch {
	case sl.used == 0 && c.slabs > 1:
		s.retireSlab(i)
	case sl.free > 0:
		s.list(i)
	}
	if s.adopting == 0 {
		s.recount()
	}
}

func (s *Shard) adoptable(h Handle) bool {
	if !s.plausible(h) {
		return false
	}
	_, ok := s.index.locate(mix(s.hashAt(h)), h)
	return ok
}

func (s *Shard) adoptItem(h Handle, c *class) {
	head := s.mem.head(h)
	head.word &^= flagMark
	c.policy.Adopt(h)
	s.countItem(c, head.word)
	s.stats.Adopted++
	if head.word&flagTTL != 0 {
		s.schedule(h, *s.mem.expires(h, head.word))
	}
}

// recount makes the number of items exact.
func (s *Shard) recount() {
	var n int64
	for i := range s.classes {
		n += s.classes[i].items
	}
	s.super.items = uint64(n)
}
