package shard

import "math"

// The slab balancer. By Little's law an item stays in its class for
// items ÷ evictions; a class in which items stay much shorter than elsewhere is
// starving. Every balanceEvery evictions the class with the greatest eviction
// rate for its size gets a slab of the class with the least, if their rates
// differ by more than hysteresis. A class that evicts nothing (its load has
// gone, or has room) is the first to give. Slabs are emptied a few items at a
// time, so that no batch waits for 2 MiB of evictions.
const (
	balanceEvery    = 256
	minReceiverRate = 16
	hysteresis      = 2.0
	withdrawStep    = 32 // items for each write while a slab is leaving
)

// balance looks for a move to make; called after evictions.
func (s *Shard) balance() {
	if s.leaving != noSlab {
		s.withdrawSome(withdrawStep)
		return
	}
	if s.shortage > 0 {
		s.relieve()
		return
	}
	if s.sinceBalance < balanceEvery {
		return
	}
	s.sinceBalance = 0
	s.updateRates()
	if c := s.receiver(); c >= 0 {
		if i := s.donorSlab(c, false); i != noSlab {
			s.startWithdrawal(i, c)
		}
	}
}

// relieve empties a slab whose memory the index or a policy wants.
func (s *Shard) relieve() {
	if s.budget >= s.shortage || len(s.freeSlabs) > 0 {
		s.shortage = 0
		return
	}
	if i := s.donorSlab(-1, false); i != noSlab {
		s.startWithdrawal(i, -1)
	}
	s.shortage = 0
}

func (s *Shard) updateRates() {
	for i := range s.classes {
		c := &s.classes[i]
		c.rate = 0.75*c.rate + float64(c.window)
		if c.slabs == 0 {
			c.rate = 0.75*c.rate + float64(c.borrowed)
		}
		c.window, c.borrowed = 0, 0
	}
}

// pressure is the share of a class's slots that turn over in a window.
func (c *class) pressure() float64 {
	return c.rate / (float64(max(c.slabs, 1)) * float64(c.slots))
}

// receiver returns the starving class, -1 when none is.
func (s *Shard) receiver() int {
	best, most := -1, 0.0
	for i := range s.classes {
		c := &s.classes[i]
		if c.rate >= minReceiverRate && c.pressure() > most {
			best, most = i, c.pressure()
		}
	}
	return best
}

// donorSlab chooses a slab to take away for class c: of the class that is best
// off, the one with the fewest items. Without need a class gives only when it is
// much better off, and never its last slab.
func (s *Shard) donorSlab(c int, need bool) int32 {
	limit := math.Inf(1)
	if c >= 0 && !need {
		limit = s.classes[c].pressure() / hysteresis
	}
	best, least := noSlab, limit
	for i := range s.slabs {
		sl := &s.slabs[i]
		if sl.class < 0 || int(sl.class) == c || sl.pins > 0 || sl.leaving {
			continue
		}
		o := &s.classes[sl.class]
		p := o.pressure()
		if o.slabs == 1 {
			p += lastSlabPressure // only when nobody else can give
		}
		if p >= limit || o.slabs == 1 && !need {
			continue
		}
		if best == noSlab || p < least || p == least && sl.load() < s.slabs[best].load() {
			best, least = int32(i), p
		}
	}
	return best
}

// lastSlabPressure keeps a class from losing its last slab before all others.
const lastSlabPressure = 1e9

// load ranks slabs for withdrawal; what an unadopted one holds is not known.
func (sl *slab) load() uint32 {
	if !sl.adopted {
		return ^uint32(0)
	}
	return sl.used
}

// startWithdrawal begins to empty a slab, for class to (-1: for the budget).
func (s *Shard) startWithdrawal(i int32, to int) {
	if !s.slabs[i].adopted {
		s.adoptSlab(int(i))
		if s.slabs[i].class < 0 {
			return // it was empty, and is free now
		}
	}
	s.unlist(i)
	s.slabs[i].leaving = true
	s.leaving, s.leavingAt, s.leavingFor = i, 0, to
	s.super.intentDetail, s.super.intentKind = uint64(i), intentWithdraw
}

// withdrawSome evicts up to n items of the leaving slab and hands it over when
// it is empty. It returns the slots looked at.
func (s *Shard) withdrawSome(n int) int {
	sl := &s.slabs[s.leaving]
	looked := 0
	for ; n > 0 && s.leavingAt < sl.bump; s.leavingAt++ {
		h := s.slotHandle(int(s.leaving), s.leavingAt)
		looked++
		if word := s.mem.head(h).word; keyLen(word) != 0 {
			if s.isPinned(h) {
				s.cancelWithdrawal()
				return looked
			}
			s.dropLive(h, DropSlabMove)
			n--
		}
	}
	if s.leavingAt < sl.bump {
		return looked
	}
	if sl.used > 0 { // an upload or a pinned remain: try again later
		s.cancelWithdrawal()
		return looked
	}
	s.finishWithdrawal()
	return looked + 1
}

func (s *Shard) cancelWithdrawal() {
	i := s.leaving
	s.slabs[i].leaving = false
	if s.slabs[i].freeHead != 0 || s.slabs[i].bump < s.classes[s.slabs[i].class].slots {
		s.list(i)
	}
	s.leaving = noSlab
	s.super.intentKind = intentNone
}

func (s *Shard) finishWithdrawal() {
	i, to := s.leaving, s.leavingFor
	s.retireSlab(i)
	s.leaving = noSlab
	s.super.intentKind = intentNone
	s.stats.SlabMoves++
	if to >= 0 {
		s.assignSlab(to)
	} else {
		s.releaseSlab()
	}
}
