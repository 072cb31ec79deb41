package shard

// Apply does a mutation that was decided elsewhere, if its version is greater
// than that of the item here and of any remembered delete. It needs no lease
// and no condition: the leader has checked them.
//
// Of a use and of a remembered delete only the hash is known. An eviction counts if
// the item here is not newer.
func (s *Shard) Apply(m *Mutation, nowNanos int64) Status {
	s.begin(nowNanos)
	switch {
	case m.Kind == RecordUse:
		return s.applyUse(m.Hash)
	case m.Kind == RecordDelete && len(m.Key) == 0:
		return s.applyTomb(m)
	}
	w := Write{Op: Put, Hash: m.Hash, Key: m.Key, Value: m.Value, TTLSeconds: m.TTLSeconds, SoftSeconds: m.SoftSeconds}
	if !s.validWrite(&w) || m.Version == 0 {
		return max(w.Status, BadRequest)
	}
	s.stats.Applies++
	s.seenVersion(m.Version)
	mixed := mix(m.Hash)
	old, p := s.live(mixed, m.Key)
	status := s.apply(m, mixed, old, p)
	s.balance()
	return status
}

func (s *Shard) apply(m *Mutation, mixed uint64, old Handle, p place) Status {
	have := s.tombs.version(m.Hash, s.now, s.cfg.TombstoneNanos, m.AsOfNanos)
	if old != 0 {
		have = max(have, s.mem.head(old).version)
	}
	switch {
	case m.Kind == RecordTouch && old != 0 && have == m.Version:
		return s.retime(mixed, m.Hash, old, s.deadline(m.TTLSeconds), s.deadline(m.SoftSeconds))
	case m.Kind == RecordTouch && old == 0:
		return NotFound
	case m.Kind == RecordEvict || m.Kind == RecordExpire:
		return s.applyEvict(m, old, p)
	case m.Version <= have:
		return Outdated
	case m.Kind == RecordPut:
		return s.applyPut(m, mixed, old)
	case m.Kind == RecordDelete:
		return s.applyDelete(m, old, p)
	}
	return BadRequest
}

func (s *Shard) applyPut(m *Mutation, mixed uint64, old Handle) Status {
	n := newItem{hash: m.Hash, key: m.Key, value: m.Value, version: m.Version, stored: s.sec, spare: m.Spare}
	n.expires, n.soft = s.deadline(m.TTLSeconds), s.deadline(m.SoftSeconds)
	if !s.rewrite(old, &n) {
		if status := s.store(mixed, &n, 0); status != OK {
			return status
		}
	}
	s.leases.cancel(m.Hash)
	return OK
}

func (s *Shard) applyDelete(m *Mutation, old Handle, p place) Status {
	s.leases.cancel(m.Hash)
	s.tombs.put(m.Hash, m.Version, s.now, s.cfg.TombstoneNanos)
	if old != 0 {
		s.index.remove(p)
		s.discard(old, 0, DropDeleted)
	}
	return OK
}
