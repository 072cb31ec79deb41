package shard

// ForeseeWrite asks for the cache lines in which a write looks for an earlier answer to
// itself, and for a lease on its key. It changes nothing either.
func (s *Shard) ForeseeWrite(hash, client, request uint64) {
	line, _ := s.recentPlain.seek(client, request)
	prefetchLine(line)
	if s.leases.may(hash) {
		prefetchSet(setOf(s.leases.rows, hash))
	}
}

// Foresee asks for the cache lines that the look-ups of keys with these hashes will
// read. Writes are done one after the other, each of which would wait for its own
// misses: those of a batch asked for beforehand overlap. It changes nothing, so the
// hashes may be anything.
func (s *Shard) Foresee(hashes []uint64) {
	for len(hashes) > 0 {
		n := min(len(hashes), batchStage)
		for i, hash := range hashes[:n] {
			m := mix(hash)
			home := s.index.home(m)
			s.scratch.mixed[i%batchStage], s.scratch.home[i%batchStage] = m, home
			prefetch(s.index.place(home))
		}
		s.chooseItems(n)
		hashes = hashes[n:]
	}
}
