package shard

import "math/bits"

// batchStage is how many GETs are in one stage together: enough misses to keep
// the memory busy, few enough that the lines stay in the cache.
const batchStage = 64

// scratch is the working memory of GetBatch.
type scratch struct {
	mixed  [batchStage]uint64
	home   [batchStage]uint64
	handle [batchStage]Handle
	late   [batchStage]uint8 // whose home had no candidate but overflows
}

// GetBatch answers gets in stages: the buckets of all, the items of all, then
// the comparisons. The cache misses of a stage overlap; Go has no prefetch, so
// plain early loads do it.
func (s *Shard) GetBatch(gets []Get, nowNanos int64) {
	s.begin(nowNanos)
	for len(gets) > 0 {
		n := min(len(gets), batchStage)
		s.touchBuckets(gets[:n])
		s.chooseItems(n)
		s.touchItems(gets[:n])
		s.answerAll(gets[:n])
		gets = gets[n:]
	}
}

func (s *Shard) touchBuckets(gets []Get) {
	var sink uint32
	for i := range gets {
		m := mix(gets[i].Hash)
		home := s.index.home(m)
		s.scratch.mixed[i], s.scratch.home[i] = m, home
		sink += s.index.at(home).meta
	}
	s.sink += uint64(sink)
}

// chooseItems finds the first candidate of each GET, in its home or else in the
// bucket after it. A wrong one, or an entry that was removed, costs a slow look
// and nothing else.
func (s *Shard) chooseItems(n int) {
	late, sink := 0, uint32(0)
	for i := range n {
		b := s.index.at(s.scratch.home[i])
		h := b.candidate(tagOf(s.scratch.mixed[i]))
		s.scratch.handle[i] = h
		if h == 0 && b.overflow() != 0 {
			sink += s.index.at(s.scratch.home[i] + 1).meta
			s.scratch.late[late] = uint8(i)
			late++
		}
	}
	s.sink += uint64(sink)
	for _, i := range s.scratch.late[:late] {
		s.scratch.handle[i] = s.index.at(s.scratch.home[i] + 1).candidate(tagOf(s.scratch.mixed[i]))
	}
}

// candidate returns the handle of the first entry with the tag, 0 for none.
func (b *bucket) candidate(tag uint16) Handle {
	if hits := b.match(tag); hits != 0 {
		return b.handles[bits.TrailingZeros32(hits)]
	}
	return 0
}

// touchItems loads header and end of the key of each candidate. It is apart from
// chooseItems because a short loop keeps more loads in flight.
func (s *Shard) touchItems(gets []Get) {
	if s.verifying {
		return // handles are checked before they are followed
	}
	var sink uint64
	for i := range gets {
		if h := s.scratch.handle[i]; h != 0 {
			head := s.mem.head(h) // may straddle two lines
			sink += head.version + head.word + uint64(s.mem.touch(h, len(gets[i].Key)))
		}
	}
	s.sink += sink
}

func (s *Shard) answerAll(gets []Get) {
	for i := range gets {
		g, h := &gets[i], s.scratch.handle[i]
		if h == 0 || s.verifying || !s.mem.keyIs(h, s.mem.head(h).word, g.Key) {
			h, _ = s.lookup(s.scratch.mixed[i], g.Key)
		}
		s.answer(g, h)
	}
}

// Get is the unbatched twin of GetBatch and its oracle in tests.
func (s *Shard) Get(g *Get, nowNanos int64) {
	s.begin(nowNanos)
	h, _ := s.lookup(mix(g.Hash), g.Key)
	s.answer(g, h)
}

// answer fills in what a GET met at h, 0 for nothing.
func (s *Shard) answer(g *Get, h Handle) {
	s.stats.Gets++
	s.heavy.sample(g)
	if h == 0 {
		s.miss(g)
		return
	}
	head := s.mem.head(h)
	if head.word&genMask != s.gen && !s.verifyItem(h) {
		s.miss(g)
		return
	}
	if s.expired(h, head.word) {
		s.dropLive(h, DropExpired)
		s.miss(g)
		return
	}
	if head.version < g.MinVersion {
		g.Outcome, g.Item = Behind, Item{Version: head.version}
		return
	}
	s.hit(g, h, head)
}

func (s *Shard) hit(g *Get, h Handle, head *header) {
	word := head.word
	if !g.NoTouch {
		if sl := s.slabOf(h); s.adopting == 0 || sl.knows(h) {
			s.classes[sl.class].policy.Hit(h)
		}
	}
	it := &g.Item
	it.Handle, it.WaitMillis, it.Version, it.Token = h, 0, head.version, 0
	it.Value = s.mem.value(h, word)
	it.Units = Units{it.Value, s.mem.table(h, word)}
	it.TTLSeconds, it.AgeSeconds = NoTTL, s.ageSeconds(word)
	s.stats.Hits++
	g.Outcome = Hit
	if word&(flagTTL|flagSoft) == 0 {
		return
	}
	if word&flagTTL != 0 {
		it.TTLSeconds = s.remaining(*s.mem.expires(h, word))
	}
	if word&flagSoft != 0 && s.tick >= *s.mem.soft(h, word) {
		s.stale(g)
	}
}

// stale gives the first reader past the soft TTL a refresh token.
func (s *Shard) stale(g *Get) {
	g.Outcome = Stale
	s.stats.Stales++
	if token, ok, _ := s.leases.take(g, s.now, s.cfg.LeaseNanos); ok {
		g.Item.Token = token
	}
}

// maxWaitMillis is the longest advice to a reader without the lease.
const maxWaitMillis = 20

func (s *Shard) miss(g *Get) {
	s.stats.Misses++
	g.Outcome, g.Item = Miss, Item{}
	if !g.Lease {
		return
	}
	token, ok, left := s.leases.take(g, s.now, s.cfg.LeaseNanos)
	if ok {
		s.stats.LeasesGranted++
		g.Outcome, g.Item.Token = LeaseGranted, token
		return
	}
	s.stats.LeaseWaits++
	g.Outcome = LeaseWait
	g.Item.WaitMillis = uint32(min(max(left/1e6, 1), maxWaitMillis))
}
