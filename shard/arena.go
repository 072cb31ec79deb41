package shard

import "gannet/alloc"

// arenaChunkBytes is what an arena hands out at once.
const arenaChunkBytes = 256 << 10

// arena hands out memory that grows with the number of items, within the
// shard's budget. Chunks are never returned: policies and the wheel reuse them.
type arena struct {
	region *alloc.Region
	used   int64 // handed out
	backed int64 // committed
}

func openArena(cfg *Config, p alloc.Purpose, share int64) (arena, error) {
	r, err := alloc.Open(alloc.Spec{
		Purpose: p, Bytes: max(cfg.MemoryBytes/share, 4*arenaChunkBytes), Huge: smallHuge(cfg),
		NUMANode: cfg.NUMANode, Sparse: true,
	})
	return arena{region: r}, err
}

// smallHuge keeps 2 MiB steps away from shards for which they are too large.
func smallHuge(cfg *Config) alloc.Huge {
	if cfg.MemoryBytes < 512<<20 {
		return alloc.Never
	}
	if cfg.Huge == alloc.Require {
		return alloc.Auto // tables may live on ordinary pages, slabs may not
	}
	return cfg.Huge
}

// take returns zeroed memory, nil when there is none within the budget.
func (a *arena) take(s *Shard, bytes int64) []byte {
	if a.used+bytes > a.backed && !a.extend(s, bytes) {
		return nil
	}
	at := a.used
	a.used += bytes
	return a.region.Bytes()[at : at+bytes]
}

func (a *arena) extend(s *Shard, bytes int64) bool {
	step := max(bytes, a.region.CommitStep())
	if a.backed+step > int64(len(a.region.Bytes())) || !s.takeBudget(step) {
		return false
	}
	if a.region.Commit(a.backed, a.backed+step) != nil {
		s.giveBudget(step)
		return false
	}
	a.backed += step
	return true
}

func (a *arena) close() error {
	if a.region == nil {
		return nil
	}
	return a.region.Close()
}
