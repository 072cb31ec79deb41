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
// the comparisons, then the values. Each stage asks for the lines that the next
// one reads, so that the cache misses of a batch overlap with its work.
func (s *Shard) GetBatch(gets []Get, nowNanos int64) {
	s.begin(nowNanos)
	for len(gets) > 0 {
		n := min(len(gets), batchStage)
		s.touchBuckets(gets[:n])
		s.chooseItems(n)
		s.answerAll(gets[:n])
		gets = gets[n:]
	}
}

func (s *Shard) touchBuckets(gets []Get) {
	for i := range gets {
		m := mix(gets[i].Hash)
		home := s.index.home(m)
		s.scratch.mixed[i%batchStage], s.scratch.home[i%batchStage] = m, home
		prefetch(s.index.place(home))
	}
}

// chooseItems finds the first candidate of each GET, in its home or else in the
// bucket after it. A wrong one, or an entry that was removed, costs a slow look
// and nothing else.
func (s *Shard) chooseItems(n int) {
	late := 0
	for i := range n {
		home := s.scratch.home[i]
		b := s.index.at(home)
		h := b.candidate(tagOf(s.scratch.mixed[i]))
		s.scratch.handle[i] = h
		if h != 0 {
			s.expect(h)
		} else if b.overflow() != 0 {
			prefetch(s.index.place(home + 1))
			s.scratch.late[late] = uint8(i)
			late++
		}
	}
	for _, i := range s.scratch.late[:late] {
		h := s.index.at(s.scratch.home[i] + 1).candidate(tagOf(s.scratch.mixed[i]))
		s.scratch.handle[i] = h
		s.expect(h)
	}
}

// expect asks for the beginning of an item, unless its handle may be anything yet.
func (s *Shard) expect(h Handle) {
	if !s.verifying {
		s.mem.prefetchHead(h)
	}
}

// candidate returns the handle of the first entry with the tag, 0 for none.
func (b *bucket) candidate(tag uint16) Handle {
	if hits := b.match(tag); hits != 0 {
		return b.handles[bits.TrailingZeros32(hits)]
	}
	return 0
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
	it.Units.value, it.Units.table = it.Value, s.mem.table(h, word) // not as a whole: a copy of what was just written stalls
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

// stale gives the first reader past the soft TTL that wants one a refresh token. A
// reader that does not would keep it from those who do, until it lapses.
func (s *Shard) stale(g *Get) {
	g.Outcome = Stale
	s.stats.Stales++
	if !g.Lease {
		return
	}
	if token, ok, _ := s.leases.take(g, s.now, s.cfg.LeaseNanos); ok {
		s.stats.LeasesGranted++
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
