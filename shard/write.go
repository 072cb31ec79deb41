package shard

import "strconv"

// Write does one mutation and fills in its answer.
func (s *Shard) Write(w *Write, nowNanos int64) {
	s.begin(nowNanos)
	w.Status, w.Version, w.Number, w.Repeated = OK, 0, 0, false
	if !s.validWrite(w) {
		return
	}
	if w.Request == 0 {
		s.execute(w)
	} else if differs(w) {
		s.writeOnce(w)
	} else {
		s.writeRecent(w)
	}
	s.balance()
}

func (s *Shard) execute(w *Write) {
	s.countWrite(w.Op)
	s.write(w, 0)
}

// differs says whether a write must not be done twice. The others, which are frequent,
// are remembered apart: there a late duplicate would only overwrite what somebody else
// has written since, and they must not push out the first.
func differs(w *Write) bool { return w.Op == Add || w.Op == CAS || w.Op == Incr || w.Token != 0 }

// writeOnce does a write that differs when done twice, or gives a retry the same answer
// again.
func (s *Shard) writeOnce(w *Write) {
	if r := s.window.find(w); r != nil {
		w.Status, w.Version, w.Number, w.Repeated = r.status, r.version, r.number, true
		s.stats.Repeated++
		return
	}
	s.execute(w)
	if w.Status != NoMemory {
		s.window.put(w)
	}
}

// writeRecent does so with the others.
func (s *Shard) writeRecent(w *Write) {
	line, who := s.recentPlain.seek(w.Client, w.Request)
	if r := line.find(who, w.what()); r != nil {
		w.Status, w.Version, w.Repeated = Status(r.answer), r.version, true
		s.stats.Repeated++
		return
	}
	s.execute(w)
	if w.Status != NoMemory {
		s.recentPlain.put(line, who, w)
	}
}

// validWrite refuses what no shard can store.
func (s *Shard) validWrite(w *Write) bool {
	switch {
	case len(w.Key) == 0 || len(w.Key) > MaxKeyBytes || !w.Hashed && w.Hash != Hash(w.Key),
		w.TTLSeconds > MaxTTLSeconds || w.SoftSeconds > MaxTTLSeconds,
		w.TTLSeconds != 0 && w.SoftSeconds >= w.TTLSeconds,
		w.Op < Put || w.Op > Incr:
		w.Status = BadRequest
	case len(w.Value) > s.cfg.MaxValueBytes:
		s.stats.ByDrop[DropTooLarge]++
		w.Status = TooLarge
	}
	return w.Status == OK
}

func (s *Shard) countWrite(op Op) {
	switch op {
	case Put:
		s.stats.Puts++
	case Delete:
		s.stats.Deletes++
	case Touch:
		s.stats.Touches++
	case Add:
		s.stats.Adds++
	case Replace:
		s.stats.Replaces++
	case CAS:
		s.stats.CASes++
	case Incr:
		s.stats.Incrs++
	}
}

// live finds the item of a key, dropping it when it is expired or damaged.
func (s *Shard) live(m uint64, key []byte) (Handle, place) {
	h, p := s.lookup(m, key)
	if h == 0 {
		return 0, p
	}
	word := s.mem.head(h).word
	if word&genMask != s.gen && !s.verifyItem(h) {
		return 0, p
	}
	if s.expired(h, word) {
		s.dropLive(h, DropExpired)
		return 0, p
	}
	return h, p
}

// write decides and does. upload is a slot already filled by an upload, 0 for
// none; it is either published or left to the caller, by w.Status.
func (s *Shard) write(w *Write, upload Handle) {
	m := mix(w.Hash)
	old, p := s.live(m, w.Key)
	if !s.allowed(w, old) {
		return
	}
	switch w.Op {
	case Delete:
		s.delete(w, old, p)
	case Touch:
		s.touch(w, m, old)
	case Incr:
		s.incr(w, m, old)
	default:
		s.put(w, m, old, upload)
	}
}

// allowed applies the condition of the operation.
func (s *Shard) allowed(w *Write, old Handle) bool {
	if old != 0 {
		w.Version = s.mem.head(old).version
	}
	switch {
	case w.Op == Add && old != 0:
		w.Status = Exists
	case old == 0 && (w.Op == Replace || w.Op == CAS || w.Op == Incr || w.Op == Touch):
		w.Status = NotFound
	case w.Op == CAS && w.Version != w.Arg:
		w.Status = VersionMismatch
	case w.Token != 0 && !s.leases.redeem(w.Hash, w.Token):
		s.stats.LeasesRefused++
		w.Status = LeaseRefused
	}
	return w.Status == OK
}

func (s *Shard) put(w *Write, m uint64, old, upload Handle) {
	n := newItem{hash: w.Hash, key: w.Key, value: w.Value, version: s.nextVersion(), stored: s.sec}
	n.expires, n.soft = s.deadline(w.TTLSeconds), s.deadline(w.SoftSeconds)
	if upload != 0 || !s.rewrite(old, &n) {
		if w.Status = s.store(m, &n, upload); w.Status != OK {
			return
		}
	}
	w.Version = n.version
	s.leases.cancel(w.Hash)
	if s.cfg.Log != nil {
		value := w.Value
		if upload != 0 {
			value = s.mem.value(upload, s.mem.head(upload).word)
		}
		s.tell(RecordPut, w.Hash, w.Version, w.Key, value, w.TTLSeconds, w.SoftSeconds)
	}
}

// tell puts a record into the log. It always is the same one: a new one would be
// allocated.
func (s *Shard) tell(kind RecordKind, hash, version uint64, key, value []byte, ttlSeconds, softSeconds uint32) {
	r := &s.record
	r.Kind, r.Hash, r.Version, r.Key, r.Value = kind, hash, version, key, value
	r.TTLSeconds, r.SoftSeconds = ttlSeconds, softSeconds
	s.cfg.Log.Append(r)
	r.Key, r.Value = nil, nil
}

func (s *Shard) delete(w *Write, old Handle, p place) {
	w.Version = s.nextVersion()
	s.leases.cancel(w.Hash)
	s.tombs.put(w.Hash, w.Version, s.now, s.cfg.TombstoneNanos)
	if old != 0 {
		s.index.remove(p)
		s.discard(old, 0, DropDeleted)
	} else {
		w.Status = NotFound
	}
	if s.cfg.Log != nil {
		s.tell(RecordDelete, w.Hash, w.Version, w.Key, nil, 0, 0)
	}
}

// touch gives an item another TTL. Its version stays: the value is the same.
func (s *Shard) touch(w *Write, m uint64, old Handle) {
	w.Status = s.retime(m, w.Hash, old, s.deadline(w.TTLSeconds), s.deadline(w.SoftSeconds))
	if w.Status == OK && s.cfg.Log != nil {
		s.tell(RecordTouch, w.Hash, w.Version, w.Key, nil, w.TTLSeconds, w.SoftSeconds)
	}
}

// retime changes expiry in place, or stores the item again when its slot has no
// field for it.
func (s *Shard) retime(m, hash uint64, h Handle, expires, soft uint32) Status {
	head := s.mem.head(h)
	word := head.word
	if (expires != never && word&flagTTL == 0) || (soft != never && word&flagSoft == 0) {
		n := newItem{hash: hash, version: head.version, expires: expires, soft: soft, stored: uint32(word >> storedShift & storedMask)}
		n.key, n.value = s.mem.key(h, word), s.mem.value(h, word)
		s.guard = h
		status := s.store(m, &n, 0)
		s.guard = 0
		return status
	}
	if word&flagSoft != 0 {
		*s.mem.soft(h, word) = soft
	}
	if word&flagTTL != 0 {
		*s.mem.expires(h, word) = expires
		s.schedule(h, expires)
	}
	return OK
}

// incr adds to a value that is a decimal number; TTLs stay as they are.
func (s *Shard) incr(w *Write, m uint64, old Handle) {
	word := s.mem.head(old).word
	number, ok := parseNumber(s.mem.value(old, word))
	sum := number + int64(w.Arg)
	if !ok || (sum > number) != (int64(w.Arg) > 0) && w.Arg != 0 {
		w.Status = NotANumber
		return
	}
	n := newItem{hash: w.Hash, key: w.Key, version: s.nextVersion(), stored: s.sec, expires: never, soft: never}
	if word&flagTTL != 0 {
		n.expires = *s.mem.expires(old, word)
	}
	if word&flagSoft != 0 {
		n.soft = *s.mem.soft(old, word)
	}
	var digits [20]byte
	n.value = strconv.AppendInt(digits[:0], sum, 10)
	if !s.rewrite(old, &n) {
		if w.Status = s.store(m, &n, 0); w.Status != OK {
			return
		}
	}
	w.Version, w.Number = n.version, sum
	s.leases.cancel(w.Hash)
	if s.cfg.Log != nil {
		s.tell(RecordPut, w.Hash, w.Version, w.Key, n.value, s.logged(n.expires), s.logged(n.soft))
	}
}

// logged is what a log record says of an expiry: 0 for none.
func (s *Shard) logged(ticks uint32) uint32 {
	if ticks == never {
		return 0
	}
	return s.remaining(ticks)
}

// parseNumber reads a decimal int64 without allocating.
func parseNumber(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	return n, err == nil && b[0] != '+'
}
