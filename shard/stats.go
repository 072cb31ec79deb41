package shard

// Drop says why an item left, or was not stored. Each has a counter.
type Drop uint8

// The reasons.
const (
	DropMemory   Drop = iota // evicted: its slot was needed
	DropCapacity             // evicted: CapacityItems reached
	DropSlabMove             // evicted: its slab moved to another class
	DropIndex                // evicted: no room near its bucket
	DropExpired              // TTL: met by a GET or write
	DropWheel                // TTL: swept
	DropDeleted              // by DELETE
	DropReplaced             // by a newer value
	DropCorrupt              // failed verification after an unclean end
	DropUpload               // upload abandoned
	DropNoMemory             // write refused: no room anywhere
	DropTooLarge             // write refused: larger than allowed
	DropLeader               // follower: the leader let it go
	DropMoved                // another node's to keep: see Forget
	DropSpare                // evicted: a spare copy; see Mutation.Spare
	drops
)

var dropNames = [drops]string{
	"memory", "capacity", "slab_move", "index", "expired_access", "expired_wheel",
	"deleted", "replaced", "corrupt", "upload", "no_memory", "too_large",
	"leader", "moved", "spare",
}

// Drops is the number of reasons.
const Drops = int(drops)

// String names the reason as metrics show it.
func (d Drop) String() string {
	if d >= drops {
		return "unknown"
	}
	return dropNames[d]
}

// ClassStats is what one size class holds.
type ClassStats struct {
	SlotBytes int
	Slabs     int
	Items     int
	Bytes     int64 // of the slots in use
	Evictions uint64
}

// Stats are plain counters, written by the shard's goroutine only.
type Stats struct {
	Gets, Hits, Stales, Misses uint64
	LeasesGranted, LeaseWaits  uint64
	LeasesRefused              uint64
	Puts, Deletes, Touches     uint64
	Adds, Replaces, CASes      uint64
	Incrs, Applies, Repeated   uint64
	ByDrop                     [Drops]uint64
	Items                      uint64
	KeyBytes, ValueBytes       int64
	SlotBytes                  int64 // of the slots in use
	IndexBytes, PolicyBytes    int64
	TableBytes                 int64
	TotalBytes                 int64 // all memory taken, of Config.MemoryBytes
	SlabsTotal, SlabsFree      int
	SlabMoves                  uint64
	Uploads, Pins              int
	WheelEntries               int
	Verified, Adopted          uint64 // items, after an attach
	TombstonesLost             uint64 // deletes forgotten before their time
	AdoptionPending            int    // slabs
	Classes                    []ClassStats
}

// Stats returns the counters. The pointer stays the same; the figures that are
// computed are brought up to date by this call.
func (s *Shard) Stats() *Stats {
	st := &s.stats
	st.Items = s.super.items
	st.IndexBytes = s.index.bytes()
	st.PolicyBytes = s.policyArena.used + s.pool.HeapBytes()
	st.TableBytes = s.tableRegion.Committed() + s.wheelArena.used
	st.TotalBytes = s.cfg.MemoryBytes - s.budget + s.pool.HeapBytes()
	st.SlabsTotal, st.SlabsFree = len(s.slabs)-s.released, len(s.freeSlabs)
	st.Uploads, st.Pins = s.uploads.count, s.pins.count
	st.WheelEntries = int(s.wheel.entries)
	st.AdoptionPending = s.adopting
	st.TombstonesLost = s.tombs.lost
	s.classStats()
	return st
}

func (s *Shard) classStats() {
	if s.stats.Classes == nil {
		s.stats.Classes = make([]ClassStats, len(s.classes))
	}
	for i := range s.classes {
		c := &s.classes[i]
		s.stats.Classes[i] = ClassStats{
			SlotBytes: s.sizes[i], Slabs: int(c.slabs), Items: int(c.items),
			Bytes: c.items * int64(s.sizes[i]), Evictions: c.evictions,
		}
	}
}
