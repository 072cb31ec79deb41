package evict

// The three bits of an item in this policy: main:1 | count:2. A count of 3 without main
// is a spare item: in the small queue hits count to promoteCount only.
const (
	countMask = 3
	mainBit   = 4
)

const (
	// promoteCount is the number of hits in the small queue that earns a place in
	// the main queue.
	promoteCount = 2
	// startShare is the small queue's share of the items at first; the other two
	// bound its adaptation.
	startShare = 0.10
	minShare   = 0.02
	maxShare   = 0.40
	// growStep and shrinkStep are how far one telling miss moves the share. In
	// doubt the small queue stays small.
	growStep   = 0.0005
	shrinkStep = 1.3 * growStep
	// ghostShare is the small queue's ghost, in items held.
	ghostShare = 0.90
	// youngPlaces and youngShare say the same in two ways: how recently evicted a
	// key must be to count as a miss that a slightly larger queue would have
	// spared. The newest youngPlaces of the small queue's ghost buckets are
	// youngShare of the items; the main queue's ghost is just as long.
	youngPlaces = 3
	youngShare  = ghostShare * youngPlaces / bucketPlaces
	// victimScan bounds the items one call of Victim looks at before it takes the
	// next one whatever its count.
	victimScan = 256
)

// s3fifo is S3-FIFO with a small queue that adapts its size. See doc.go.
type s3fifo struct {
	meta        Meta
	small, main queue
	spare       queue // see spare.go
	turn        uint  // of a victim, while there are spare ones
	smallGhost  ghost
	mainGhost   ghost
	// share is the small queue's wanted share of the items.
	share float64
}

func newS3FIFO(meta Meta, cfg Config) *s3fifo {
	return &s3fifo{
		meta:  meta,
		small: newQueue(cfg.Pool), main: newQueue(cfg.Pool), spare: newQueue(cfg.Pool),
		smallGhost: newGhost(cfg.Pool), mainGhost: newGhost(cfg.Pool),
		share: startShare,
	}
}

func (s *s3fifo) Name() string     { return "s3fifo" }
func (s *s3fifo) NeedsLinks() bool { return false }
func (s *s3fifo) Len() int         { return s.own() + s.spare.len() }

// own is the number of items but the spare ones.
func (s *s3fifo) own() int { return s.small.len() + s.main.len() }

func (s *s3fifo) Bytes() int64 {
	return s.small.bytes() + s.main.bytes() + s.spare.bytes() + s.smallGhost.bytes() + s.mainGhost.bytes()
}

// Insert puts a key that was evicted lately into the main queue, a new one into
// the small queue.
func (s *s3fifo) Insert(h uint32, hash uint64) {
	if s.remembered(hash) {
		s.enter(&s.main, h, mainBit)
		return
	}
	s.enter(&s.small, h, 0)
}

// remembered looks the key up in the ghosts and lets the finding move the share.
func (s *s3fifo) remembered(hash uint64) bool {
	if younger, ok := s.smallGhost.take(hash); ok {
		if younger < youngPlaces {
			s.share = min(s.share+growStep, maxShare)
		}
		return true
	}
	if _, ok := s.mainGhost.take(hash); ok {
		s.share = max(s.share-shrinkStep, minShare)
		return true
	}
	return false
}

func (s *s3fifo) enter(q *queue, h uint32, bits uint8) {
	s.meta.SetBits(h, bits)
	q.push(h)
}

func (s *s3fifo) Adopt(h uint32) {
	s.queueOf(s.meta.Bits(h)).push(h)
}

func (s *s3fifo) queueOf(bits uint8) *queue {
	switch {
	case bits&mainBit != 0:
		return &s.main
	case bits == spareBits:
		return &s.spare
	}
	return &s.small
}

func (s *s3fifo) Hit(h uint32) {
	switch bits := s.meta.Bits(h); {
	case bits == spareBits:
		s.redeem(h)
	case bits < promoteCount, bits >= mainBit && bits < mainBit|countMask:
		s.meta.SetBits(h, bits+1)
	}
}

// Rewrite is a hit of an item that is not spare.
func (s *s3fifo) Rewrite(h uint32) bool {
	bits := s.meta.Bits(h)
	if bits == spareBits {
		return false
	}
	if bits < promoteCount || bits >= mainBit && bits < mainBit|countMask {
		s.meta.SetBits(h, bits+1)
	}
	return true
}

// HitBits says of Hit all but redeem.
func (s *s3fifo) HitBits() (next [8]uint8) {
	for bits := range uint8(len(next)) {
		switch {
		case bits == spareBits:
			next[bits] = AskPolicy
		case bits < promoteCount, bits >= mainBit && bits < mainBit|countMask:
			next[bits] = bits + 1
		default:
			next[bits] = bits
		}
	}
	return next
}

func (s *s3fifo) Remove(h uint32) { s.queueOf(s.meta.Bits(h)).remove(h) }

// Victim takes a spare item if it is their turn, else one from the small queue while
// that is above its share, else from main.
func (s *s3fifo) Victim() (uint32, bool) {
	if h := s.spareVictim(); h != None {
		return h, true
	}
	for scanned := 0; s.own() > 0; scanned++ {
		fromMain := s.small.len() == 0 ||
			s.main.len() > 0 && float64(s.small.len()) < s.share*float64(s.own())
		if fromMain {
			if h := s.tryMain(scanned >= victimScan); h != None {
				return h, true
			}
		} else if h := s.trySmall(scanned >= victimScan); h != None {
			return h, true
		}
	}
	return None, false
}

// trySmall promotes the oldest item of the small queue, or evicts it.
func (s *s3fifo) trySmall(evict bool) uint32 {
	h := s.small.pop()
	if s.meta.Bits(h)&countMask >= promoteCount && !evict {
		s.enter(&s.main, h, mainBit)
		return None
	}
	s.smallGhost.add(s.meta.Hash(h), int(ghostShare*float64(s.own()+1)))
	return h
}

// tryMain gives the oldest item of the main queue another round, or evicts it.
func (s *s3fifo) tryMain(evict bool) uint32 {
	h := s.main.pop()
	if bits := s.meta.Bits(h); bits&countMask > 0 && !evict {
		s.enter(&s.main, h, bits-1)
		return None
	}
	s.mainGhost.add(s.meta.Hash(h), int(youngShare*float64(s.own()+1)))
	return h
}

// Restore gives a pinned victim a round in the main queue.
func (s *s3fifo) Restore(h uint32) { s.enter(&s.main, h, mainBit) }

func (s *s3fifo) Close() {
	s.small.release()
	s.main.release()
	s.spare.release()
	s.smallGhost.release()
	s.mainGhost.release()
	s.share = startShare
}
