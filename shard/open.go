package shard

import (
	"errors"
	"fmt"
	"math/bits"
	"path/filepath"

	"gannet/alloc"
	"gannet/shard/evict"
)

// Open creates a shard, or attaches to what a predecessor left in cfg.Dir. An
// attached shard answers at once: its index and slabs are mapped, and what is
// not (free lists, eviction order, timers) is rebuilt slab by slab, by Advance
// and on demand.
func Open(cfg Config, nowNanos int64) (*Shard, Recovery, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, Recovery{}, err
	}
	s := &Shard{cfg: cfg, leaving: noSlab}
	rec, err := s.open(nowNanos)
	if err != nil {
		return nil, Recovery{}, errors.Join(err, s.unmap())
	}
	return s, rec, nil
}

func (s *Shard) open(nowNanos int64) (Recovery, error) {
	links, err := s.choosePolicy()
	if err != nil {
		return Recovery{}, err
	}
	if err := s.openTables(); err != nil {
		return Recovery{}, err
	}
	want, err := s.plan(links, nowNanos)
	if err != nil {
		return Recovery{}, err
	}
	rec, err := s.openMapped(&want)
	if err != nil {
		return rec, err
	}
	if rec.Fresh {
		err = s.format(&want)
	} else {
		s.attach(&rec)
	}
	s.super.clean = 0
	s.begin(nowNanos)
	s.wheel.now = s.sec
	s.tombs.sinceNanos = nowNanos
	s.leases.seed = mix(uint64(nowNanos)) ^ uint64(s.cfg.ID)<<48
	s.heavy.random = s.leases.seed
	s.heavy.decayed = s.sec
	rec.Items, rec.Slabs, rec.IndexKB = s.super.items, len(s.slabs)-s.released, s.index.bytes()>>10
	return rec, err
}

// choosePolicy learns whether items need links, and makes the one policy of a
// shard that evicts by count.
func (s *Shard) choosePolicy() (links bool, err error) {
	s.pool = evict.NewPool(s.policyMemory)
	p, err := evict.New(s.cfg.Policy, policyMeta{s}, evict.Config{Pool: s.pool})
	if err != nil {
		return false, fmt.Errorf("shard %d: %w", s.cfg.ID, err)
	}
	links = p.NeedsLinks()
	if s.cfg.CapacityItems > 0 {
		s.global = p
	} else {
		p.Close()
	}
	s.mem.layout = newLayout(links, s.cfg.HeaderRoomBytes, s.cfg.HeaderRoomFromBytes)
	return links, nil
}

// policyMemory is the source of the policies' pool.
func (s *Shard) policyMemory(words int) []uint32 {
	mem := s.policyArena.take(s, int64(words)*4)
	if mem == nil {
		return nil
	}
	return wordsOf(mem)
}

// plan computes what the configuration means: slab size, classes, numbers.
func (s *Shard) plan(links bool, nowNanos int64) (superblock, error) {
	maxWord := makeWord(MaxKeyBytes, s.cfg.MaxValueBytes, 0, true, true)
	widest := s.mem.layout
	widest.room, widest.roomFrom = maxRoomBytes, 0
	maxItem := widest.size(maxWord)
	s.slabBytes = slabBytesFor(s.cfg.MemoryBytes, maxItem)
	if s.cfg.Huge == alloc.Require {
		s.slabBytes = alloc.HugePageBytes // so that single slabs can be released
	}
	s.slabShift = uint(bits.TrailingZeros(uint(s.slabBytes))) - 3
	s.sizes = slotSizes(s.slabBytes, maxItem, s.cfg.Growth)
	s.classes = make([]class, len(s.sizes))
	for i := range s.classes {
		s.classes[i] = class{partial: noSlab, slots: uint32((s.slabBytes - slabLeadBytes) / s.sizes[i])}
	}
	s.buildLookup()
	id, err := bootID()
	want := superblock{
		magic: superMagic, layout: superLayout, bootID: id, originNanos: nowNanos,
		memoryBytes: s.cfg.MemoryBytes, slabBytes: uint32(s.slabBytes), growthMilli: uint32(s.cfg.Growth * 1000),
		room: packRoom(s.cfg.HeaderRoomBytes, s.cfg.HeaderRoomFromBytes), maxValue: uint32(s.cfg.MaxValueBytes),
		buckets: minBuckets, target: minBuckets, sweep: minBuckets,
	}
	if links {
		want.links = 1
	}
	want.slabs = s.planSlabs()
	if want.slabs < 4 {
		return want, fmt.Errorf("shard %d: %d bytes of memory hold %d slabs of %d: give it more, or allow smaller values", s.cfg.ID, s.cfg.MemoryBytes, want.slabs, s.slabBytes)
	}
	return want, err
}

// planSlabs counts the slabs that fit beside the tables and the first pages of
// index, policy memory and timers.
func (s *Shard) planSlabs() uint32 {
	step := int64(arenaChunkBytes)
	if smallHuge(&s.cfg) != alloc.Never {
		step = alloc.HugePageBytes
	}
	s.budget = s.cfg.MemoryBytes - s.tableRegion.Committed() - s.policyArena.backed - s.wheelArena.backed
	first := int64(superBytes) + (minBuckets+padBuckets)*bucketBytes
	return uint32(max(s.budget-max(first, step)-2*step, 0) / int64(s.slabBytes))
}

// openTables makes the small tables, in proportion to the memory.
func (s *Shard) openTables() error {
	var count carver
	s.carveTables(&count)
	region, err := alloc.Open(alloc.Spec{
		Purpose: alloc.Tables, Bytes: int64(count.used), Huge: alloc.Never, NUMANode: s.cfg.NUMANode,
	})
	if err != nil {
		return err
	}
	s.tableRegion = region
	s.carveTables(&carver{mem: region.Bytes()})
	s.residents = make([]resident, 0, (maxDistance+1)*bucketSlots)
	s.index.moving = make([]moved, 0, (maxDistance+1)*bucketSlots)
	s.wheel.lists = make([]*timerBlock, wheelLists)
	s.uploads.limit = s.cfg.MemoryBytes / 8
	if s.policyArena, err = openArena(&s.cfg, alloc.Policy, 4); err != nil {
		return err
	}
	s.wheelArena, err = openArena(&s.cfg, alloc.Tables, 4)
	return err
}

func (s *Shard) carveTables(c *carver) {
	rows := 1 << (bits.Len64(uint64(s.cfg.MemoryBytes>>15)) - 1)
	rows = min(max(rows, 512), 1<<16)
	s.leases.rows = carve[lease](c, rows)
	s.leases.used = carve[uint64](c, rows/ways/64)
	tombs := 1 << (bits.Len64(uint64(s.cfg.MemoryBytes>>13)) - 1)
	tombs = min(max(tombs, 2048), 1<<20)
	s.tombs.rows = carve[tomb](c, tombs)
	s.tombs.floors = carve[tomb](c, tombs/ways)
	s.window.rows = carve[answered](c, rows)
	s.recentPlain.lines = carve[recentLine](c, rows)
	s.pins.rows = carve[pin](c, min(max(rows, 1024), 8192))
	if c.mem != nil {
		s.uploads.rows = make([]upload, s.cfg.MaxUploads)
	}
}

// openMapped opens the two files, or anonymous regions, and decides whether
// what they hold can be attached to.
func (s *Shard) openMapped(want *superblock) (Recovery, error) {
	var err error
	s.indexAt = (superBytes + uint64(want.slabs)*2 + bucketBytes - 1) &^ (bucketBytes - 1)
	reserve := int64(s.indexAt) + s.cfg.MemoryBytes/3 + (minBuckets+padBuckets)*bucketBytes
	huge, slabHuge := s.cfg.Huge, s.cfg.Huge
	if s.cfg.Dir == "" {
		huge = smallHuge(&s.cfg)
		if slabHuge == alloc.Auto {
			slabHuge = huge
		}
	}
	s.indexRegion, err = alloc.Open(s.spec("index", alloc.Index, reserve, huge))
	if err != nil {
		return Recovery{}, err
	}
	s.slabRegion, err = alloc.Open(s.spec("slabs", alloc.Slabs, int64(want.slabs)*int64(s.slabBytes), slabHuge))
	if err != nil {
		return Recovery{}, err
	}
	s.index.region = s.indexRegion
	rec := Recovery{Fresh: true, Fell: s.slabRegion.Fallback, Reason: "new"}
	if !s.indexRegion.Fresh && !s.slabRegion.Fresh {
		s.mapTables(want)
		rec.Reason = s.super.attachable(want)
		rec.Fresh = rec.Reason != ""
		rec.Clean = s.super.clean == 1
	}
	if rec.Fresh {
		err = s.startOver(want)
		rec.Fell = s.slabRegion.Fallback
		return rec, err
	}
	s.mem.room, s.mem.roomFrom = unpackRoom(s.super.room)
	return rec, err
}

func (s *Shard) spec(name string, p alloc.Purpose, bytes int64, huge alloc.Huge) alloc.Spec {
	spec := alloc.Spec{Purpose: p, Bytes: bytes, Huge: huge, NUMANode: s.cfg.NUMANode, Sparse: true, Lock: true}
	if s.cfg.Dir != "" {
		spec.Path = filepath.Join(s.cfg.Dir, fmt.Sprintf("shard-%d.%s", s.cfg.ID, name))
	}
	return spec
}

// startOver takes fresh memory for everything.
func (s *Shard) startOver(want *superblock) error {
	var err error
	for _, r := range []**alloc.Region{&s.indexRegion, &s.slabRegion} {
		if *r, err = renew(*r); err != nil {
			return err
		}
	}
	s.index.region = s.indexRegion
	first := s.indexAt + (minBuckets+padBuckets)*bucketBytes
	step := uint64(s.indexRegion.CommitStep())
	first = (first + step - 1) / step * step
	if err := s.indexRegion.Commit(0, int64(first)); err != nil {
		return err
	}
	s.index.backed = (first - s.indexAt) / bucketBytes
	s.mapTables(want)
	return s.slabRegion.Commit(0, int64(len(s.slabRegion.Bytes())))
}

// mapTables lays the structures over the mapped files.
func (s *Shard) mapTables(want *superblock) {
	mem := s.indexRegion.Bytes()
	s.super = overlay(mem)
	s.index.super = s.super
	s.index.base = bucketsOf(mem[s.indexAt:])
	s.index.limit = uint64(len(mem))/bucketBytes - s.indexAt/bucketBytes - padBuckets - 1
	s.classTable = classTableOf(mem[superBytes:], int(want.slabs))
	s.mem = newMemory(s.slabRegion.Bytes(), s.mem.layout)
	s.slabs = make([]slab, want.slabs)
	s.freeSlabs = make([]int32, 0, want.slabs)
}

// format writes an empty shard. The magic comes last.
func (s *Shard) format(want *superblock) error {
	*s.super = *want
	s.super.magic = 0
	for i := len(s.slabs) - 1; i >= 0; i-- {
		s.setClass(i, slabFree)
		s.poisonSlab(i)
		s.freeSlabs = append(s.freeSlabs, int32(i))
	}
	s.budget -= int64(s.index.backed)*bucketBytes + int64(s.indexAt) + int64(len(s.slabs))*int64(s.slabBytes)
	for s.budget < 0 && s.releaseSlab() { //nolint:revive // pages of the index were larger than planned for
	}
	s.super.magic = superMagic
	if s.cfg.Prefault {
		return s.slabRegion.Prefault()
	}
	return nil
}

// Close marks the shard clean and unmaps it. Without a Dir all is lost.
func (s *Shard) Close() error {
	if s.super == nil {
		return nil
	}
	if s.leaving != noSlab {
		s.cancelWithdrawal()
	}
	if !s.verifying {
		s.super.unverified = 0
	}
	s.super.clean = 1
	return s.unmap()
}

func (s *Shard) unmap() error {
	s.unpoisonAll()
	s.super = nil
	var errs []error
	for _, r := range []*alloc.Region{s.indexRegion, s.slabRegion, s.tableRegion} {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	errs = append(errs, s.policyArena.close(), s.wheelArena.close())
	s.indexRegion, s.slabRegion, s.tableRegion = nil, nil, nil
	s.policyArena, s.wheelArena = arena{}, arena{}
	return errors.Join(errs...)
}
