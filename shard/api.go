package shard

import (
	"gannet/alloc"
)

// Handle names a slot: its offset in the slab region in units of 8 bytes.
// Zero names none.
type Handle = uint32

// Limits of keys, values and times.
const (
	MaxKeyBytes          = 250
	MaxValueBytesLimit   = 1 << 20
	DefaultMaxValueBytes = 100 << 10
	UnitBytes            = 1024       // one CRC and one partial sum for each
	MaxTTLSeconds        = 31_104_000 // 30 days × 12
	NoTTL                = ^uint32(0) // Item.TTLSeconds of an item without TTL
	DefaultGrowth        = 1.12
	DefaultRoomFromBytes = 1024 // docs/memory.md has the curve
	DefaultLeaseNanos    = int64(2e9)
	MaxBatch             = 256
)

// Config describes a shard. The zero value of a field is its default, but
// MemoryBytes must be given.
type Config struct {
	ID          int
	MemoryBytes int64 // everything: slabs, index, policy and tables
	Policy      string
	// CapacityItems evicts by count instead of by memory, through one policy for
	// all classes: miss ratios then compare with published ones.
	CapacityItems  int
	MaxValueBytes  int
	Growth         float64 // between neighbouring classes of large slots
	LeaseNanos     int64
	TombstoneNanos int64  // how long a DELETE is remembered for replication
	UploadNanos    int64  // how long an upload may stand still
	MaxUploads     int    // at once
	Dir            string // of the mapped files; "" = anonymous, nothing survives
	Huge           alloc.Huge
	NUMANode       int // alloc.NoNUMA = anywhere
	// HeaderRoomBytes are kept free in front of each value of HeaderRoomFromBytes or
	// more (0 = DefaultRoomFromBytes), for the headers of replies that leave straight
	// out of the slot. Memory that is attached to keeps the room it was made with.
	HeaderRoomBytes     int
	HeaderRoomFromBytes int
	Prefault            bool
	Log                 Log // may be nil
}

// Outcome is what a GET met.
type Outcome uint8

// The outcomes of a GET.
const (
	Miss         Outcome = iota
	Hit                  // Item is set
	Stale                // Item is set, soft TTL passed; Item.Token for the first reader
	LeaseGranted         // miss; Item.Token is the lease
	LeaseWait            // miss; somebody has the lease: come back in Item.WaitMillis
	Behind               // the item is older than MinVersion (Item.Version says how old)
)

// Get is one GET: its question and, after GetBatch, its answer.
type Get struct {
	Hash       uint64
	Key        []byte
	Client     uint64 // with Request: the same pair gets the same lease again
	Request    uint64
	MinVersion uint64 // 0 = any
	Lease      bool   // on a miss, and past the soft TTL, give me a lease
	NoTouch    bool   // do not count as a use
	Outcome    Outcome
	Item       Item
}

// Item is what a hit found. Value and its checksums are borrowed: they are valid
// until the next mutation of the shard, or until Unpin when pinned before it.
type Item struct {
	Handle     Handle
	WaitMillis uint32
	Version    uint64
	Token      uint64
	Value      []byte
	table      []byte // CRCs of the value's units, then their sums
	TTLSeconds uint32 // remaining; NoTTL = none
	AgeSeconds uint32
}

// Op is the operation of a Write.
type Op uint8

// The operations.
const (
	Put Op = iota + 1
	Delete
	Touch
	Add
	Replace
	CAS
	Incr
)

// Status is the answer to a Write, an upload or an Apply.
type Status uint8

// The answers.
const (
	OK Status = iota
	Exists
	NotFound
	VersionMismatch
	LeaseRefused
	TooLarge
	NoMemory
	BadRequest
	NotANumber
	Partial     // upload: part taken, not whole yet
	BusyUploads // upload: too many at once
	Outdated    // Apply: a newer version is here
)

// Write is one mutation: its question and, after Shard.Write, its answer.
type Write struct {
	Op          Op
	Status      Status // answer
	TTLSeconds  uint32 // 0 = none
	SoftSeconds uint32 // 0 = none
	Hashed      bool   // the caller has computed Hash from Key; else that is checked
	Hash        uint64
	Key         []byte
	Value       []byte
	Arg         uint64 // CAS: version expected; Incr: delta as int64
	Token       uint64 // lease or refresh token; 0 = none
	Client      uint64 // with Request: a retry of ADD, CAS, INCR is answered again
	Request     uint64
	Version     uint64 // answer: of the item now stored, or met
	Number      int64  // answer of Incr
	Repeated    bool   // answer: this is the remembered answer of a retry
}

// RecordKind is what a log record or a mutation tells.
type RecordKind uint8

// The kinds. Evictions and uses are hints: followers may ignore them.
const (
	RecordPut RecordKind = iota + 1
	RecordDelete
	RecordTouch
	RecordEvict
	RecordExpire
	RecordUse
)

// LogRecord is what the mutation log gets; it is borrowed during Append, with its
// slices.
type LogRecord struct {
	Kind        RecordKind
	Hash        uint64
	Version     uint64
	Key         []byte
	Value       []byte
	TTLSeconds  uint32 // remaining; 0 = none
	SoftSeconds uint32 // remaining; 0 = none
}

// Log receives every mutation after it is done. It must not block.
type Log interface{ Append(rec *LogRecord) }

// Mutation is a change decided elsewhere, with its version.
type Mutation struct {
	// AsOfNanos is a moment of this node's clock before the item was read from its
	// leader: no delete that came earlier concerns it. 0 = not known.
	AsOfNanos   int64
	Kind        RecordKind
	Spare       bool // put: a copy that is the first to go when room is needed
	Hash        uint64
	Version     uint64
	Key         []byte
	Value       []byte
	TTLSeconds  uint32
	SoftSeconds uint32
}

// Upload is one part of a value sent in segments.
type Upload struct {
	Write       Write  // Op Put, Add, Replace or CAS; Value is ignored
	Transfer    uint64 // chosen by the client, the same for all parts
	TotalBytes  int
	OffsetBytes int // multiple of UnitBytes
	Data        []byte
}

// View is an item as a scan shows it; slices are borrowed during visit.
type View struct {
	Hash        uint64
	Version     uint64
	Key         []byte
	Value       []byte
	TTLSeconds  uint32 // remaining; NoTTL = none
	SoftSeconds uint32 // remaining; NoTTL = none

	handle Handle
}

// Hot is a heavy hitter.
type Hot struct {
	Hash   uint64
	Key    []byte  // borrowed until the next GET
	Share  float64 // of all GETs, estimated
	Count  uint64  // decayed, of sampled GETs
	Handle Handle  // 0 = not stored now
}

// Recovery says what Open found.
type Recovery struct {
	Fresh   bool
	Clean   bool   // the predecessor closed the shard
	Reason  string // why fresh
	Items   uint64 // attached
	Undone  string // the intent that was completed or undone; "" = none
	Fell    string // why there are no 2 MiB pages; "" = there are, or not wanted
	Verify  bool   // items are verified at first touch
	Slabs   int
	IndexKB int64
}
