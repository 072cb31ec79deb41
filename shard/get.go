package shard

import (
	"math/bits"

	"gannet/shard/evict"
)

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
	homes, base := s.index.homes(), s.index.base
	for i := range gets {
		m := mix(gets[i].Hash)
		home := homes.of(m)
		s.scratch.mixed[i%batchStage], s.scratch.home[i%batchStage] = m, home
		prefetch(bucketPlace(base, home))
	}
}

// chooseItems finds a candidate of each GET, in its home or else in the buckets after
// it, and asks for the items' beginnings. A wrong one, or an entry that was removed,
// costs a slow look and nothing else.
func (s *Shard) chooseItems(n int) {
	late := 0
	for i := range n {
		home := s.scratch.home[i]
		b := s.index.at(home)
		h := b.candidate(tagOf(s.scratch.mixed[i]))
		s.scratch.handle[i] = h
		if h == 0 && b.overflow() != 0 {
			for d := uint64(1); d <= min(b.distance(), nearBuckets); d++ {
				prefetch(s.index.place(home + d))
			}
			s.scratch.late[late] = uint8(i)
			late++
		}
	}
	s.expect(s.scratch.handle[:n])
	for _, i := range s.scratch.late[:late] {
		h := s.candidateBehind(s.scratch.home[i], tagOf(s.scratch.mixed[i]))
		s.scratch.handle[i] = h
		s.expect(s.scratch.handle[i : i+1])
	}
}

// nearBuckets behind its home are where nearly all overflowed entries are.
const nearBuckets = 8

// candidateBehind looks in the buckets behind a home.
func (s *Shard) candidateBehind(home uint64, tag uint16) (h Handle) {
	last := home + min(s.index.at(home).distance(), nearBuckets)
	for b := home + 1; b <= last && h == 0; b++ {
		h = s.index.at(b).candidate(tag)
	}
	return h
}

// expect asks for the beginnings of items, unless a handle may be anything yet.
func (s *Shard) expect(handles []Handle) {
	if !s.verifying {
		s.mem.prefetchHeads(handles)
	}
}

// candidate returns the handle of an entry with the tag, 0 for none.
func (b *bucket) candidate(tag uint16) Handle {
	if hits := b.anyMatch(tag); hits != 0 {
		return b.handleOf(hits)
	}
	return 0
}

// handleOf is the handle of the slot that anyMatch found.
func (b *bucket) handleOf(hits uint64) Handle {
	at := bits.TrailingZeros64(hits)
	return b.handles[at&3<<2|at>>4]
}

func (s *Shard) answerAll(gets []Get) {
	s.stats.Gets += uint64(len(gets))
	s.heavy.sampleAll(gets)
	for i := range gets {
		g, h := &gets[i], s.scratch.handle[i]
		if h != 0 && !s.verifying {
			if head := s.mem.head(h); s.mem.keyIs(h, head.word, g.Key) {
				s.found(g, h, head)
				continue
			}
		}
		h, _ = s.lookup(s.scratch.mixed[i], g.Key)
		s.answer(g, h)
	}
}

// Get is the unbatched twin of GetBatch and its oracle in tests.
func (s *Shard) Get(g *Get, nowNanos int64) {
	s.begin(nowNanos)
	s.stats.Gets++
	s.heavy.sample(g)
	h, _ := s.lookup(mix(g.Hash), g.Key)
	s.answer(g, h)
}

// answer fills in what a GET met at h, 0 for nothing.
func (s *Shard) answer(g *Get, h Handle) {
	if h == 0 {
		s.miss(g)
		return
	}
	s.found(g, h, s.mem.head(h))
}

// found answers a GET whose key is that of the item at h.
func (s *Shard) found(g *Get, h Handle, head *header) {
	word := head.word
	switch {
	case word&genMask != s.gen && !s.verifyItem(h):
		s.miss(g)
		return
	case s.expired(h, word):
		s.dropLive(h, DropExpired)
		s.miss(g)
		return
	case head.version < g.MinVersion:
		g.Outcome, g.Item = Behind, Item{Version: head.version}
		return
	}
	if !g.NoTouch {
		s.use(h, head)
	}
	it := &g.Item
	it.Handle, it.WaitMillis, it.Version, it.Token = h, 0, head.version, 0
	it.table, it.Value = s.mem.body(h, word)
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

// use tells the policy of a use. Most are nothing but a step of the item's bits, which
// needs no look at slab and class; and what is used often stays as it is.
func (s *Shard) use(h Handle, head *header) {
	bits := uint8(head.word >> flagShift & 7)
	next := s.hitBits[bits]
	switch {
	case next == bits:
	case next != evict.AskPolicy && s.adopting == 0:
		head.word = head.word&^policyBits | uint64(next)<<flagShift
	default:
		if sl := s.slabOf(h); s.adopting == 0 || sl.knows(h) {
			s.classes[sl.class].policy.Hit(h)
		}
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
