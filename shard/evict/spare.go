package evict

// Spare items are second copies that nobody asked this node for: it keeps them in the
// place of another one that is away. They fill what is free, and go first when the
// class is full, but for a small share, so that what was written lately has its second
// copy; that share they take from the others once.
//
// They wait in a queue of their own, in the order of their coming. One that is read
// here becomes like the others.

const (
	// spareBits mark an item of the spare queue: an item of the small queue counts no
	// further than promoteCount.
	spareBits = countMask
	// spareShare is the part of the items that spare ones may be while others are
	// evicted, as 1/n. In a ring of 17 nodes those who stand in for one that is down hold
	// as much for it: from there on a full cluster loses no second copy.
	spareShare = 16
)

// InsertSpare takes in a new item as the next but the other spare ones to go.
func (s *s3fifo) InsertSpare(h uint32) { s.enter(&s.spare, h, spareBits) }

// IsSpare says whether an item, or the victim just returned, is spare.
func (s *s3fifo) IsSpare(h uint32) bool { return s.meta.Bits(h) == spareBits }

// redeem makes a spare item that was read one of the others.
func (s *s3fifo) redeem(h uint32) {
	s.spare.remove(h)
	s.enter(&s.small, h, 1)
}

// spareVictim is the oldest spare item, if it is their turn: they are more than their
// share, or it is the turn of one in so many, so that those that nobody needs any more
// do not stay for ever.
func (s *s3fifo) spareVictim() uint32 {
	spare := s.spare.len()
	if spare == 0 {
		return None
	}
	if s.turn++; s.turn%spareShare != 0 && spare*spareShare <= s.Len() {
		return None
	}
	return s.spare.pop()
}

// InsertSpare is Insert: this policy knows no colder end than one that is next to go
// at once.
func (l *lru) InsertSpare(h uint32) { l.Insert(h, 0) }

// IsSpare is false of every item.
func (l *lru) IsSpare(uint32) bool { return false }
