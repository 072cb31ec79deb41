package shard

// What a follower does besides Apply: it lets go of what its leader let go of, learns
// what is read there, and hands on what it remembers.

// applyUse counts a read that the leader saw. A spare copy it does not make one to
// keep.
func (s *Shard) applyUse(hash uint64) Status {
	h, _ := s.lookupHash(hash)
	if h == 0 {
		return NotFound
	}
	if sl := s.slabOf(h); s.adopting == 0 || sl.knows(h) {
		if p := s.classes[sl.class].policy; !p.IsSpare(h) {
			p.Hit(h)
		}
	}
	return OK
}

// applyTomb remembers a delete whose key is not known, and does it.
func (s *Shard) applyTomb(m *Mutation) Status {
	if m.Version == 0 {
		return BadRequest
	}
	s.stats.Applies++
	s.seenVersion(m.Version)
	if s.tombs.version(m.Hash, s.now, s.cfg.TombstoneNanos, m.AsOfNanos) >= m.Version {
		return Outdated
	}
	old, p := s.lookupHash(m.Hash)
	if old != 0 && s.mem.head(old).version > m.Version {
		return Outdated
	}
	return s.applyDelete(m, old, p)
}

// applyEvict lets an item go as its leader did, unless it is newer here.
func (s *Shard) applyEvict(m *Mutation, old Handle, p place) Status {
	if old == 0 {
		return NotFound
	}
	if s.mem.head(old).version > m.Version {
		return Outdated
	}
	s.index.remove(p)
	s.discard(old, 0, DropLeader)
	return OK
}

// lookupHash finds an item by its key hash alone.
func (s *Shard) lookupHash(hash uint64) (Handle, place) {
	m := mix(hash)
	x := &s.index
	home := x.home(m)
	last := home
	if first := x.at(home); first.overflow() != 0 {
		last += first.distance()
	}
	for b := home; b <= last; b++ {
		at := x.at(b)
		for i, h := range at.handles {
			if h != 0 && s.followable(h) && s.hashAt(h) == hash {
				return h, place{home, b, i}
			}
		}
	}
	return 0, place{}
}

// forgetAtOnce is how many items of one home go in one go.
const forgetAtOnce = 64

// Forget removes the items of a set, by key hash and version, about limitItems of them
// at a time, and reports whether it is through. What it removes is neither logged nor
// remembered as deleted: it was never this node's to keep.
func (s *Shard) Forget(c *Cursor, in func(hash, version uint64) bool, limitItems int, nowNanos int64) bool {
	s.begin(nowNanos)
	c.begin(s.index.super.buckets)
	for looked, homes := 0, 0; looked < limitItems && homes < homesInSlice && !c.Done; homes++ {
		var found [forgetAtOnce]Handle
		n := 0
		_, last := c.bounds()
		seen, next, _ := s.scanHome(c.at, last, nil, func(v View) bool {
			if n < len(found) && in(v.Hash, v.Version) {
				found[n] = v.handle
				n++
			}
			return true
		})
		for _, h := range found[:n] {
			s.dropLive(h, DropMoved)
		}
		looked += seen
		if n == len(found) {
			continue // there may be more at this home
		}
		c.advance(next)
	}
	return c.Done
}

// tombsInSlice bounds what a slice of Tombstones looks at where there are few.
const tombsInSlice = 2048

// Tombstones visits the remembered deletes whose key hash is in a set, from the nth
// place of the table on, and returns where to go on; 0 = it is through. visit
// returns false to stop after this one.
func (s *Shard) Tombstones(from int, in HashSet, limit int, nowNanos int64, visit func(hash, version uint64) bool) (next int) {
	for i := from; i < len(s.tombs.rows); i++ {
		if i == from+tombsInSlice {
			return i
		}
		t := &s.tombs.rows[i]
		if t.version == 0 || nowNanos-t.nanos >= s.cfg.TombstoneNanos || !in.Holds(t.hash) {
			continue
		}
		if limit--; !visit(t.hash, t.version) || limit <= 0 {
			return i + 1
		}
	}
	return 0
}

// TombstonesSinceNanos is the moment after which every delete is remembered.
func (s *Shard) TombstonesSinceNanos() int64 {
	return max(s.tombs.sinceNanos, s.now-s.cfg.TombstoneNanos)
}
