package wire

import "gannet/checksum"

// What opens every datagram.
const (
	Magic         = 0x6E47 // bytes 47 6E on the wire: "Gn"
	FormatVersion = 1
	BasePort      = 9800 // the UDP port of shard 0; shard n has BasePort + n
)

// Sizes in bytes.
const (
	PrefixBytes          = 64 // what requests and replies have in common
	RequestHeaderBytes   = 96
	ReplyHeaderBytes     = 64
	OpHeaderBytes        = 24
	OpSegmentBytes       = 16 // follows the operation's header when its flag OpSegment is set
	ReplyOpHeaderBytes   = 48
	ExtensionHeaderBytes = 8
	HelloReplyBytes      = 48

	AlignBytes   = 8                  // operations, keys and values begin at multiples of it
	SegmentBytes = checksum.UnitBytes // segments of a value begin at multiples of it

	MinRequestBytes = RequestHeaderBytes + OpHeaderBytes
	MinReplyBytes   = ReplyHeaderBytes + ReplyOpHeaderBytes
	MaxHeaderBytes  = 255 * AlignBytes
	// MaxDatagramBytes is the longest UDP payload.
	MaxDatagramBytes = 65507

	// DefaultReplyRoomBytes is the longest reply to a client that names no limit: a 1500-byte MTU without IPv4 and UDP headers.
	DefaultReplyRoomBytes = 1472
	// MinReplyRoomBytes is the smallest limit a client may name: one segment must fit, stage times included.
	MinReplyRoomBytes = ReplyHeaderBytes + StagesBytes + ReplyOpHeaderBytes + SegmentBytes
	// MinHelloPadBytes is the least padding of a HELLO: its request must be as long as its reply.
	MinHelloPadBytes = ReplyHeaderBytes + ReplyOpHeaderBytes + HelloReplyBytes - MinRequestBytes
)

// Limits of fields.
const (
	MaxOps        = 255
	MaxKeyBytes   = 250
	MaxValueBytes = 1 << 20    // no node may be configured for more
	MaxTTLSeconds = 31_104_000 // twelve times 30 days
	MaxEpoch      = 1<<24 - 1

	// NoTTL in a reply's remaining TTL says that the item does not expire.
	NoTTL = 0xFFFFFFFF
)

// Offsets in the prefix.
const (
	OffsetMagic        = 0
	OffsetVersion      = 2
	OffsetFlags        = 3
	OffsetShard        = 4
	OffsetOpCount      = 6
	OffsetHeaderWords  = 7
	OffsetKeyHash      = 8
	OffsetRequestID    = 16
	OffsetSessionID    = 24
	OffsetPacketNumber = 32
	OffsetTag          = 40
	OffsetEpoch        = 56
	OffsetBudgetMicros = 60 // request
	OffsetLoad         = 60 // reply
	OffsetRxQueue      = 62 // reply
)

// Offsets in the rest of a request's header.
const (
	OffsetCookie            = 64
	OffsetMinVersion        = 72
	OffsetGrantOffsetMicros = 80
	OffsetGrantRateKbit     = 84
	OffsetExpectedBytes     = 88
	OffsetFanOut            = 92
	OffsetMaxReplyBytes     = 94
)

// Offsets in an operation of a request.
const (
	OpOffsetOpcode      = 0
	OpOffsetFlags       = 1
	OpOffsetKeyBytes    = 2
	OpOffsetReserved    = 3
	OpOffsetValueBytes  = 4
	OpOffsetTTLSeconds  = 8
	OpOffsetSoftSeconds = 12
	OpOffsetArg         = 16
	OpOffsetTotalBytes  = 24 // with OpSegment
	OpOffsetOffsetBytes = 28 // with OpSegment
	OpOffsetTransfer    = 32 // with OpSegment
)

// Offsets in an operation of a reply.
const (
	ReplyOpOffsetOpcode        = 0
	ReplyOpOffsetStatus        = 1
	ReplyOpOffsetFlags         = 2
	ReplyOpOffsetValueBytes    = 4
	ReplyOpOffsetVersion       = 8
	ReplyOpOffsetTTLSeconds    = 16
	ReplyOpOffsetAgeSeconds    = 20
	ReplyOpOffsetCRC           = 24
	ReplyOpOffsetL1GrantMillis = 28
	ReplyOpOffsetIndex         = 30
	ReplyOpOffsetToken         = 32
	ReplyOpOffsetTotalBytes    = 40
	ReplyOpOffsetOffsetBytes   = 44
)

// Flags of a datagram.
type Flags uint8

const (
	FlagReply  Flags = 1 << 0 // server to client
	FlagSealed Flags = 1 << 1 // encrypted and authenticated
	FlagAuth   Flags = 1 << 2 // authenticated only
	FlagStages Flags = 1 << 3 // stage times wanted (request), present (reply)

	knownFlags = FlagReply | FlagSealed | FlagAuth | FlagStages
)

// OpFlags are the flags of an operation in a request.
type OpFlags uint8

const (
	OpSegment    OpFlags = 1 << 0 // the operation names a part of a value: OpSegmentBytes more of header
	OpLease      OpFlags = 1 << 1 // GET: a lease or refresh token is welcome
	OpAckReplica OpFlags = 1 << 2 // writes: acknowledge when a follower has it, too
	OpNoValue    OpFlags = 1 << 3 // GET: everything but the value
	OpStaleOK    OpFlags = 1 << 4 // GET: rather a stale value than LEASE_WAIT
)

// ReplyFlags are the flags of an operation in a reply.
type ReplyFlags uint16

const (
	ReplySegment  ReplyFlags = 1 << 0 // the value is a part of a longer one
	ReplyStale    ReplyFlags = 1 << 1 // past the soft TTL
	ReplyDegraded ReplyFlags = 1 << 2 // acknowledged without a follower in sync
	ReplyLease    ReplyFlags = 1 << 3 // Token holds a lease or refresh token
	ReplyL1Grant  ReplyFlags = 1 << 4 // the client may keep the value for L1GrantMillis
	ReplyMore     ReplyFlags = 1 << 5 // further datagrams carry the rest of this operation's value

	knownReplyFlags = ReplySegment | ReplyStale | ReplyDegraded | ReplyLease | ReplyL1Grant | ReplyMore
)

// align rounds up to the next multiple of AlignBytes.
func align(n int) int {
	return (n + AlignBytes - 1) &^ (AlignBytes - 1)
}
