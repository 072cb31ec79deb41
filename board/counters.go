package board

import "sync/atomic"

// Counter names a counter of a shard.
type Counter uint16

// The counters of the loop and of the shard's cache.
const (
	CountDatagramsIn Counter = iota
	CountDatagramsOut
	CountBytesIn
	CountBytesOut
	CountGets
	CountHits
	CountStaleHits
	CountMisses
	CountPuts
	CountDeletes
	CountTouches
	CountAdds
	CountReplaces
	CountCAS
	CountIncrs
	CountPings
	CountStats
	CountHellos
	CountItems
	CountEvictionsMemory
	CountEvictionsCapacity
	CountEvictionsSlabMove
	CountExpiriesAccess
	CountExpiriesWheel
	CountCorruptDropped
	CountLeasesGranted
	CountLeasesRefused
	CountUploads
	CountHandedOver
	CountHandedIn
	CountContinuations
	CountPaced
	CountTailsSent
	CountLogRecords
	CountLogLost
	CountApplied
	CountScanned
	CountBusyNanos
	CountTurns
	CountWakeups
	CountFrameCensusBad
	CountInPlaceSent       // replies that left straight out of a slot, in one descriptor
	CountRoomBusy          // of values that could have left so, those whose slot was in flight
	CountValueBytesCopied  // into frames, of GETs
	CountLargeBytesCopied  // of these, bytes of values with header room
	CountValueBytesTail    // sent by a descriptor of their own
	CountValueBytesInPlace // sent in the same descriptor as their headers
	CountSlotsInFlight     // now; falls, too
	CountPortChanges
	CountKernelHits      // GETs that the XDP program answered; not among CountGets
	CountKernelPublished // items published to it
	CountKernelWithdrawn // items taken back; the difference is what is published now
	CountLateTurns       // begun over 100 µs after the one before, sleeps aside
	CountEvictionsSpare  // copies held in the place of another node
	CountTombstonesLost  // deletes forgotten before their time: the table was full
	NumCounters
)

var counterNames = [NumCounters]string{
	"datagrams_in", "datagrams_out", "bytes_in", "bytes_out", "gets", "hits", "stale_hits", "misses", "puts", "deletes",
	"touches", "adds", "replaces", "cas", "incrs", "pings", "stats", "hellos", "items", "evictions_memory",
	"evictions_capacity", "evictions_slab_move", "expiries_access", "expiries_wheel", "corrupt_dropped", "leases_granted",
	"leases_refused", "uploads", "handed_over", "handed_in", "continuations", "paced", "tails_sent", "log_records",
	"log_lost", "applied", "scanned", "busy_nanos", "turns", "wakeups", "frame_census_bad",
	"in_place_sent", "room_busy", "value_bytes_copied", "large_bytes_copied", "value_bytes_tail", "value_bytes_in_place",
	"slots_in_flight", "port_changes", "kernel_hits", "kernel_published", "kernel_withdrawn", "late_turns",
	"evictions_spare", "tombstones_lost",
}

// String returns the counter's name.
func (c Counter) String() string {
	if c < NumCounters {
		return counterNames[c]
	}
	return "unknown"
}

// Group is a family of counters whose members another package enumerates: the
// reasons for drops, and the statuses of replies. Their names stand in the board's
// reasons area, so that whoever shows them need not know the packages.
type Group uint16

// The groups.
const (
	GroupWire   Group = iota // datagrams that are malformed, by the codec's reason
	GroupGuard               // datagrams the loop refused or dropped, by its reason
	GroupPort                // drops of the port
	GroupSteer               // verdicts of the XDP program (counted on shard 0)
	GroupStatus              // operations answered, by status
	NumGroups
)

var groupNames = [NumGroups]string{"wire", "guard", "port", "steer", "status"}

// String returns the group's name.
func (g Group) String() string {
	if g < NumGroups {
		return groupNames[g]
	}
	return "unknown"
}

// GroupSize is the room of a group.
const GroupSize = 64

const (
	counterRoom   = 128
	countersBytes = (counterRoom + (int64(NumGroups)+3)*GroupSize) * 8
)

// Counters are the counters of one shard: values that only grow, but for
// CountItems and CountSlotsInFlight. Writer: that shard.
type Counters struct{ words []atomic.Uint64 }

// Counters returns a shard's counters.
func (b *Board) Counters(shard int) *Counters { return &Counters{b.words(AreaCounters, shard)} }

// Set stores a value.
func (c *Counters) Set(id Counter, v uint64) { c.words[id].Store(v) }

// Get returns a value.
func (c *Counters) Get(id Counter) uint64 { return c.words[id].Load() }

// SetIn stores a value of a group; members beyond GroupSize are left out.
func (c *Counters) SetIn(g Group, member int, v uint64) {
	if member >= 0 && member < GroupSize && g < NumGroups {
		c.words[counterRoom+int(g)*GroupSize+member].Store(v)
	}
}

// GetIn returns a value of a group.
func (c *Counters) GetIn(g Group, member int) uint64 {
	if member < 0 || member >= GroupSize || g >= NumGroups {
		return 0
	}
	return c.words[counterRoom+int(g)*GroupSize+member].Load()
}

// Reasons holds the names of the groups' members. Writer: data plane.
type Reasons struct{ groups [NumGroups]record }

const (
	reasonsGroupBytes = 4 << 10
	reasonsBytes      = int64(NumGroups) * (reasonsGroupBytes + recordHeadBytes)
)

// Reasons returns the names' area.
func (b *Board) Reasons() *Reasons {
	w := b.words(AreaReasons, 0)
	r := &Reasons{}
	each := (reasonsGroupBytes + recordHeadBytes) / 8
	for g := range r.groups {
		r.groups[g] = record{w[g*each : (g+1)*each]}
	}
	return r
}

// Set names a group's members in order. It allocates.
func (r *Reasons) Set(g Group, names []string) {
	var data []byte
	for _, n := range names {
		data = append(append(data, n...), '\n')
	}
	r.groups[g].write(data)
}

// Get returns the names of a group's members. It allocates.
func (r *Reasons) Get(g Group) []string {
	if g >= NumGroups {
		return nil
	}
	data, _ := r.groups[g].read(nil)
	var names []string
	from := 0
	for i, c := range data {
		if c == '\n' {
			names = append(names, string(data[from:i]))
			from = i + 1
		}
	}
	return names
}
