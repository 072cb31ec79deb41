package shard

import "math/bits"

// sweeping says whether the index is growing.
func (x *index) sweeping() bool { return x.super.target != x.super.buckets }

// nextSize is what the index grows to: an eighth more.
func (x *index) nextSize() uint64 {
	return min(x.super.buckets+max(x.super.buckets/8, 1), x.limit)
}

// growIndex begins to grow when the index is full enough and the budget allows,
// and moves the sweep on. It is called once for each entry
// added, so that a sweep ends long before the next must begin.
func (s *Shard) growIndex() {
	x := &s.index
	if !x.sweeping() {
		if s.super.items*10 < x.super.buckets*growAtTenths || !s.backIndex(x.nextSize()) {
			return
		}
		x.step("grow")
		x.super.target = x.nextSize()
	}
	for range sweepHomes {
		s.sweepHome()
		if !x.sweeping() {
			return
		}
	}
}

// backIndex sees to memory for a number of buckets.
func (s *Shard) backIndex(buckets uint64) bool {
	x := &s.index
	need := buckets + padBuckets
	if need <= x.backed {
		return buckets > x.super.buckets
	}
	step := uint64(x.region.CommitStep())
	from, to := s.indexAt+x.backed*bucketBytes, s.indexAt+need*bucketBytes
	to = min((to+step-1)/step*step, uint64(len(x.region.Bytes())))
	if to < s.indexAt+need*bucketBytes || !s.takeBudget(int64(to-from)) {
		return false
	}
	if err := x.region.Commit(int64(from), int64(to)); err != nil {
		s.giveBudget(int64(to - from))
		s.indexFull = true // the system has no more: live with what there is
		return false
	}
	x.backed = (to - s.indexAt) / bucketBytes
	return true
}

// sweepHome moves the entries of the last home not yet swept to where target
// maps them.
func (s *Shard) sweepHome() {
	x := &s.index
	b := x.super.sweep - 1
	x.super.intentDetail, x.super.intentKind = b, intentSweep
	x.step("sweep-intent")
	s.collectHome(b)
	overflowed := 0
	for i := range x.moving {
		if x.moving[i].bucket != b {
			overflowed++
		}
		s.moveEntry(&x.moving[i])
	}
	for ; overflowed > 0; overflowed-- {
		x.at(b).uncount()
	}
	s.endSweepStep(b)
}

func (s *Shard) endSweepStep(b uint64) {
	x := &s.index
	x.super.sweep = b
	x.step("sweep-moved")
	x.super.intentKind = intentNone
	if b == 0 {
		x.super.buckets = x.super.target // with sweep 0 both mean the same
		x.step("sweep-ending")
		x.super.sweep = x.super.buckets
	}
}

// collectHome lists the entries whose home is b under the old mapping. It first
// touches all the items, so that their cache misses overlap.
func (s *Shard) collectHome(b uint64) {
	x := &s.index
	last := b
	if first := x.at(b); first.overflow() != 0 {
		last += first.distance()
	}
	x.moving = x.moving[:0]
	var sink uint64
	for p := b; p <= last; p++ {
		at := x.at(p)
		for i, h := range at.handles {
			if h != 0 && len(x.moving) < cap(x.moving) && s.followable(h) {
				sink += s.mem.head(h).word
				x.moving = append(x.moving, moved{bucket: p, slot: i, h: h})
			}
		}
	}
	s.sink += sink
	kept := x.moving[:0]
	for _, e := range x.moving {
		e.m = mix(s.hashAt(e.h))
		if home, _ := bits.Mul64(e.m, x.super.buckets); home == b {
			kept = append(kept, e)
		}
	}
	x.moving = kept
}

// moveEntry puts an entry where target maps it and then clears the old place.
func (s *Shard) moveEntry(e *moved) {
	x := &s.index
	home, _ := bits.Mul64(e.m, x.super.target)
	if !x.insertAt(home, e.m, e.h) {
		x.at(e.bucket).setHandle(e.slot, 0)
		s.discard(e.h, e.m, DropIndex)
		return
	}
	x.step("sweep-copied")
	x.at(e.bucket).setHandle(e.slot, 0)
}

// redoSweep completes the step the predecessor was in. An entry may stand in
// both places; counts are left as they are, at worst too high.
func (s *Shard) redoSweep(b uint64) {
	x := &s.index
	s.collectHome(b)
	for i := range x.moving {
		e := &x.moving[i]
		if s.twice(e) {
			x.at(e.bucket).setHandle(e.slot, 0)
			continue
		}
		s.moveEntry(e)
	}
	s.endSweepStep(b)
}

// twice reports whether another entry with the handle of e can be found.
func (s *Shard) twice(e *moved) bool {
	x := &s.index
	home, _ := bits.Mul64(e.m, x.super.target)
	last := home + x.at(home).distance()
	for p := home; p <= last; p++ {
		for i, h := range x.at(p).handles {
			if h == e.h && (p != e.bucket || i != e.slot) {
				return true
			}
		}
	}
	return false
}
