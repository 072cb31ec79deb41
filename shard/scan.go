package shard

import (
	"cmp"
	"math/bits"
	"slices"
)

// HashSet says which key hashes are meant. nil means all.
type HashSet func(hash uint64) bool

// Holds tells whether a hash is in the set.
func (h HashSet) Holds(hash uint64) bool { return h == nil || h(hash) }

// Cursor is the place of a scan. The zero value starts one.
//
// The mixed hash is cut into stretches, which a scan takes in an order that is spread
// all over: whoever stores what it shows fills his index evenly, where ascending
// hashes would crowd one end of it.
type Cursor struct {
	bits uint8  // 2^bits stretches; 0 = not begun
	turn uint32 // stretches that are through
	at   uint64 // position in the one under way: survives growth of the index
	Done bool
}

// A stretch has several homes, so that few homes are looked at twice.
const (
	leastStretchBits = 1
	mostStretchBits  = 12
	stretchHomeBits  = 4
)

// begin cuts the hash for an index of so many buckets.
func (c *Cursor) begin(buckets uint64) {
	if c.bits == 0 {
		c.bits = uint8(min(max(bits.Len64(buckets)-stretchHomeBits, leastStretchBits), mostStretchBits))
	}
}

// bounds are the first and the last position of the stretch under way.
func (c *Cursor) bounds() (first, last uint64) {
	first = uint64(bits.Reverse32(c.turn)) << 32 // its top bits are the turn's low ones, reversed
	return first, first + (1<<(64-c.bits) - 1)
}

// advance goes on at next, the beginning of another home; 0 after the last.
func (c *Cursor) advance(next uint64) {
	if _, last := c.bounds(); next > c.at && next <= last {
		c.at = next
		return
	}
	c.turn++
	c.Done = c.turn == 1<<c.bits
	c.at, _ = c.bounds()
}

// homesInSlice bounds what a slice of a scan looks at where there are few items: each
// home is a cache miss.
const homesInSlice = 64

// Scan visits the items whose key hash is in a set, about limitItems of them at a
// time, and reports whether the scan is over. The cursor is a place in the mixed hash,
// which the index keeps the order of in any size, so an item that is there all the
// time is visited exactly once, unless it is overwritten meanwhile: then once or
// twice. visit returns false when it did not take the item: the next call goes on with
// that one.
func (s *Shard) Scan(c *Cursor, in HashSet, limitItems int, nowNanos int64, visit func(View) bool) bool {
	s.begin(nowNanos)
	c.begin(s.index.super.buckets)
	for looked, homes := 0, 0; looked < limitItems && homes < homesInSlice && !c.Done; homes++ {
		_, last := c.bounds()
		n, next, refused := s.scanHome(c.at, last, in, visit)
		if refused {
			c.at = next
			break
		}
		looked += n
		c.advance(next)
	}
	return c.Done
}

// resident is an item of a home, at its place in the mixed hash.
type resident struct {
	at     uint64
	handle Handle
}

// scanHome visits the items whose home is that of position m and that lie at or after
// it, up to another position, in the order of their positions. It returns the position
// where the next home begins, 0 after the last; or, when visit refused an item, that
// item's.
func (s *Shard) scanHome(m, upto uint64, in HashSet, visit func(View) bool) (looked int, next uint64, refused bool) {
	next = s.index.homeEnd(m)
	looked = s.gather(m, upto, next)
	for _, r := range s.residents {
		if hash := s.hashAt(r.handle); in.Holds(hash) && !s.visit(r.handle, hash, visit) {
			return looked, r.at, true
		}
	}
	return looked, next, false
}

// gather lists the items of the home of position m that lie from there up to another
// position and before next, in order.
func (s *Shard) gather(m, upto, next uint64) (looked int) {
	x := &s.index
	home := x.home(m)
	last := home
	if first := x.at(home); first.overflow() != 0 {
		last += first.distance()
	}
	s.residents = s.residents[:0]
	for b := home; b <= last; b++ {
		for _, h := range x.at(b).handles {
			if h == 0 || !s.followable(h) {
				continue
			}
			looked++
			at := mix(s.hashAt(h))
			if at >= m && at <= upto && (next == 0 || at < next) && x.home(at) == home {
				s.residents = append(s.residents, resident{at, h})
			}
		}
	}
	slices.SortFunc(s.residents, func(a, b resident) int { return cmp.Compare(a.at, b.at) })
	return looked
}

func (s *Shard) visit(h Handle, hash uint64, visit func(View) bool) bool {
	head := s.mem.head(h)
	word := head.word
	if s.expired(h, word) {
		return true
	}
	v := View{handle: h, Hash: hash, Version: head.version, Key: s.mem.key(h, word), Value: s.mem.value(h, word), TTLSeconds: NoTTL, SoftSeconds: NoTTL}
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
