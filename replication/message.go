package replication

import "gannet/ring"

// Channel says which wire a message goes over.
type Channel uint8

// The channels.
const (
	// Gossip is encrypted datagrams between control processes: lossy, unordered.
	Gossip Channel = iota + 1
	// Stream is the mTLS TCP connection between two control processes: in order while
	// it stands. LinkUp and LinkDown tell when it does.
	Stream
	// ToController is the mTLS TCP connection to whoever is the elected controller;
	// what finds none is dropped, it is repeated.
	ToController
)

// Message is what nodes say to each other. All are plain values.
type Message interface{ kind() messageKind }

// Beat is a sign of life between all members. Gossip.
type Beat struct{ Epoch uint32 }

// GrantAsk asks a member to help renew the sender's fence. Gossip.
type GrantAsk struct {
	Epoch     uint32
	SentNanos int64 // the asker's clock, returned as it is
}

// Grant answers GrantAsk. Gossip.
type Grant struct {
	Epoch     uint32
	SentNanos int64
}

// RingNews brings the ring to somebody who showed an older epoch. Stream.
type RingNews struct{ Record Record }

// Open is a leader's greeting to a follower, after the connection or the epoch
// changed. Stream.
type Open struct {
	Epoch uint32
	Life  uint64 // of the leader's log; another life has other positions
	Spans []Span // by shard of the leader
}

// Span is the part of a shard's log that the leader still has: all after Oldest.
type Span struct{ Oldest, Newest uint64 }

// Resume answers Open: what the follower has of the leader's ranges. Stream.
type Resume struct {
	Epoch     uint32
	Life      uint64   // 0: it knows no life of this leader's log
	Positions []uint64 // by shard: it has all up to here of the ranges in Have
	Have      []ring.Range
	Since     uint32 // the epoch in which the leader confirmed Have last
	// Takes: it still takes the rest of the writes of ranges that it leads now.
	Takes bool
}

// Start answers Resume: what the leader will send. Stream.
type Start struct {
	Epoch uint32
	Life  uint64
	From  []uint64 // by shard: the first batch follows this position
	// Have is what the follower has, as far as this node led it ever since.
	Have []ring.Range
	// Reset: the log does not reach back to the follower's positions, so that Have will
	// be repaired, too.
	Reset bool
}

// Batch carries mutations of one shard of the leader, filtered to the follower's
// ranges. It may be empty: then it moves the position. Stream.
type Batch struct {
	Epoch       uint32
	Life        uint64
	Shard       uint16
	After, Upto uint64 // positions: versions of the last mutation before and in it
	Records     uint32
	Payload     []byte
}

// Hints carry what may be lost: evictions and reference bits of one shard, which keep
// followers warm. They have no position. Stream.
type Hints struct {
	Epoch   uint32
	Shard   uint16
	Records uint32
	Payload []byte
}

// Ack is cumulative, by shard. Stream.
type Ack struct {
	Epoch uint32
	Life  uint64
	Shard uint16
	Upto  uint64
}

// Release is a leader's last word on ranges that another leads now: all its writes
// up to these positions came before. Stream.
type Release struct {
	Epoch     uint32 // in which the receiver leads them
	Positions []uint64
}

// Begin opens a repair of ranges the follower lacks. Stream.
type Begin struct {
	Epoch  uint32
	ID     uint64
	Ranges []ring.Range
	// Floor, by shard: every delete beyond is remembered, and will be for a while.
	Floor []uint64
}

// Ready answers Begin. Above, when the follower could keep what it has: by shard, the
// versions that need not be sent. Stream.
type Ready struct {
	Epoch      uint32
	ID         uint64
	StampNanos int64 // the follower's clock; parts bring it back
	Above      []uint64
}

// Part is a piece of a repair. Stream.
type Part struct {
	Epoch      uint32
	ID         uint64
	Number     uint32
	StampNanos int64 // the last stamp the leader had when the piece was read
	Last       bool
	// Upto, by shard of the leader: what the follower has of the piece's stretch with a
	// version up to here, and the piece has not, is gone.
	Upto    []uint64
	Records uint32
	Payload []byte
}

// PartAck asks for the next part. Stream.
type PartAck struct {
	Epoch      uint32
	ID         uint64
	Number     uint32
	StampNanos int64
}

// Redo tells a leader that its stream does not fit: greet again. Stream.
type Redo struct{ Epoch uint32 }

// Sign is what an accusation rests on.
type Sign uint8

// The signs.
const (
	// Silence: neither data path nor gossip heard anything for SilenceNanos.
	Silence Sign = iota + 1
	// Refused: connection reset and data port unreachable.
	Refused
)

// Accusation is a witness's evidence against a member.
type Accusation struct {
	Suspect uint64
	Sign    Sign
	// Alive: the witness hears the accused again. It is bound by its word all the same,
	// until another epoch begins.
	Alive bool
}

// Wish is what a node wants of the controller.
type Wish uint8

// The wishes.
const (
	WishNone   Wish = iota
	WishJoin        // be in the ring
	WishLeave       // hand off and leave
	WishResign      // be down at once: it acknowledges nothing any more in this epoch
)

// Report is a node's word to the controller. Accusations are promises: in this epoch
// the witness grants the accused nothing. ToController.
type Report struct {
	From    uint64
	Life    uint64 // of the control process
	Number  uint64 // the greatest counts
	Epoch   uint32 // the newest the node knows
	Accused []Accusation
	Wish    Wish
	Warm    bool // it has all that the ring being worked towards wants it to have
}
