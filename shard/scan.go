package shard

import "math/bits"

// Scan visits the items whose key hash is in [fromHash, toHash] (both included),
// about limitItems of them at a time, and reports whether the scan is over. The
// cursor is a place in the order of the mixed hash, which the index keeps in any
// size, so an item that is there all the time is visited exactly once, unless it
// is overwritten meanwhile: then once or twice. visit returns false to stop
// after this item's bucket.
func (s *Shard) Scan(c *Cursor, fromHash, toHash uint64, limitItems int, nowNanos int64, visit func(View) bool) bool {
	s.begin(nowNanos)
	for looked, more := 0, true; looked < limitItems && more && !c.Done; {
		n, next := 0, uint64(0)
		n, next, more = s.scanHome(c.at, fromHash, toHash, visit)
		looked += n + 1
		c.Done = next <= c.at
		c.at = next
	}
	return c.Done
}

// scanHome visits the items whose home is that of position m and at or after
// it, and returns the position where the next home begins, 0 after the last.
func (s *Shard) scanHome(m, fromHash, toHash uint64, visit func(View) bool) (looked int, next uint64, more bool) {
	x := &s.index
	home := x.home(m)
	next = x.homeEnd(m)
	last, more := home, true
	if first := x.at(home); first.overflow() != 0 {
		last += first.distance()
	}
	for b := home; b <= last; b++ {
		for _, h := range x.at(b).handles {
			if h == 0 || !s.followable(h) {
				continue
			}
			looked++
			hash := s.hashAt(h)
			at := mix(hash)
			if at < m || next != 0 && at >= next || x.home(at) != home || hash < fromHash || hash > toHash {
				continue
			}
			more = s.visit(h, hash, visit) && more
		}
	}
	return looked, next, more
}

func (s *Shard) visit(h Handle, hash uint64, visit func(View) bool) bool {
	head := s.mem.head(h)
	word := head.word
	if s.expired(h, word) {
		return true
	}
	v := View{Hash: hash, Version: head.version, Key: s.mem.key(h, word), Value: s.mem.value(h, word), TTLSeconds: NoTTL, SoftSeconds: NoTTL}
	if word&flagTTL != 0 {
		v.TTLSeconds = s.remaining(*s.mem.expires(h, word))
	}
	if word&flagSoft != 0 {
		v.SoftSeconds = s.remaining(*s.mem.soft(h, word))
	}
	return visit(v)
}

// homeEnd returns the first position after m with another home, 0 when there is
// none.
func (x *index) homeEnd(m uint64) uint64 {
	size := x.super.buckets
	b, _ := bits.Mul64(m, size)
	if b >= x.super.sweep {
		size = x.super.target
		b, _ = bits.Mul64(m, size)
	}
	if b+1 >= size {
		return 0
	}
	// The first m with floor(m × size / 2^64) = b + 1.
	q, r := bits.Div64(b+1, 0, size)
	if r != 0 {
		q++
	}
	return q
}
