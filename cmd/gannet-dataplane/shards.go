package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"gannet/alloc"
	"gannet/config"
	"gannet/dataplane"
	"gannet/shard"
)

// store is a shard's memory and what became of it.
type store struct {
	shard    *shard.Shard // nil once its loop has taken it over
	slabs    []byte       // its slab region
	huge     bool         // which is on 2 MiB pages
	log      *dataplane.Log
	recovery shard.Recovery
	bytes    int64
}

var hugeOf = map[config.Hugepages]alloc.Huge{
	config.HugepagesAuto: alloc.Auto, config.HugepagesNever: alloc.Never, config.HugepagesRequire: alloc.Require,
}

// openStores opens all shards at once: attaching is quick, but fresh memory takes
// its time to be cleared.
func (n *node) openStores(nowNanos int64) error {
	if err := n.removeOtherGeometries(); err != nil {
		return err
	}
	n.stores = make([]store, len(n.cpus))
	errs := make([]error, len(n.cpus))
	var opening sync.WaitGroup
	for i := range n.cpus {
		opening.Go(func() { errs[i] = n.openStore(i, nowNanos) })
	}
	opening.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i := range n.stores {
		r := &n.stores[i].recovery
		n.log.Info("shard is open", "shard", i, "cpu", n.cpus[i], "memory", config.Size(n.stores[i].bytes).String(),
			"recovery", describe(r), "small_pages_because", r.Fell)
	}
	return nil
}

func (n *node) openStore(i int, nowNanos int64) error {
	dir := n.storeDir(i)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("shard %d: make its directory: %w", i, err)
	}
	s := &n.stores[i]
	s.bytes = int64(n.cfg.Memory) / int64(len(n.cpus))
	s.log = dataplane.NewLog(n.board, i)
	opened, recovery, err := shard.Open(shard.Config{
		ID: i, MemoryBytes: s.bytes, Policy: n.cfg.Policy, MaxValueBytes: int(n.cfg.MaxValue), Growth: n.cfg.Growth,
		LeaseNanos: n.cfg.Lease.Nanoseconds(), Dir: dir, Huge: hugeOf[n.cfg.Hugepages], NUMANode: numaNode(n.cpus[i]),
		Log: s.log, HeaderRoomBytes: n.headerRoomBytes(),
	}, nowNanos)
	if err != nil {
		return fmt.Errorf("shard %d: open its memory in %s: %w", i, dir, err)
	}
	s.shard, s.recovery = opened, recovery
	s.slabs, s.huge = opened.SlabMemory(), opened.SlabsAreHuge()
	return nil
}

// geometry names the folder of a shard count: with another one each key belongs to
// another shard, and nothing of the old memory could be found.
func (n *node) geometry() string { return fmt.Sprintf("shards-%d", len(n.cpus)) }

func (n *node) storeDir(i int) string {
	return filepath.Join(n.cfg.DataDir, n.geometry(), fmt.Sprintf("shard-%d", i))
}

// slabPath is where a shard keeps its slabs.
func (n *node) slabPath(i int) string {
	return filepath.Join(n.storeDir(i), fmt.Sprintf("shard-%d.slabs", i))
}

func (n *node) removeOtherGeometries() error {
	found, err := filepath.Glob(filepath.Join(n.cfg.DataDir, "shards-*"))
	if err != nil {
		return fmt.Errorf("look for memory files: %w", err)
	}
	for _, dir := range found {
		if filepath.Base(dir) == n.geometry() {
			continue
		}
		n.log.Info("removing the memory of another number of shards", "directory", dir)
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove the memory of another number of shards: %w", err)
		}
	}
	return nil
}

// fresh says whether any shard begins empty.
func (n *node) fresh() bool {
	for i := range n.stores {
		if n.stores[i].recovery.Fresh {
			return true
		}
	}
	return false
}

func describe(r *shard.Recovery) string {
	switch {
	case r.Fresh:
		return strings.TrimSuffix("fresh: "+r.Reason, ": ")
	case r.Clean:
		return fmt.Sprintf("warm, %d items", r.Items)
	case r.Undone != "":
		return fmt.Sprintf("warm after an unclean end, %d items, settled: %s", r.Items, r.Undone)
	}
	return fmt.Sprintf("warm after an unclean end, %d items", r.Items)
}
