package wire

import "gannet/checksum"

// ReplyHeader holds the fields of a reply's header that a server chooses. Request.ReplyHeader fills in those it echoes.
type ReplyHeader struct {
	Flags     Flags // FlagReply is implied; FlagStages: Stages is part of the header
	Shard     uint16
	KeyHash   uint64
	RequestID uint64
	SessionID uint64
	Epoch     uint32 // the server's current one
	Load      uint16 // 0..65535: share of the last window the shard was busy
	RxQueue   uint16 // on which the request arrived
	Stages    Stages
}

// Bytes is the header's length on the wire.
func (h *ReplyHeader) Bytes() int {
	if h.Flags&FlagStages != 0 {
		return ReplyHeaderBytes + StagesBytes
	}
	return ReplyHeaderBytes
}

// ReplyOp is one operation of a reply.
type ReplyOp struct {
	Code          Opcode
	Status        Status
	Flags         ReplyFlags
	Version       Version
	TTLSeconds    uint32 // remaining; NoTTL
	AgeSeconds    uint32
	CRC           uint32 // CRC32C of Value
	L1GrantMillis uint16
	Index         uint16 // of the operation in the request
	Token         uint64 // lease or refresh token; INCR: the number; COOKIE_REQUIRED, HELLO: cookie; MOVED: epoch; LEASE_WAIT: ms
	TotalBytes    uint32 // of the whole value
	OffsetBytes   uint32 // of this part
	Value         []byte
}

// Grant notes for how long a copy may be kept; 0: none may.
func (op *ReplyOp) Grant(millis uint16) {
	if millis != 0 {
		op.Flags |= ReplyL1Grant
		op.L1GrantMillis = millis
	}
}

// Intact reports whether the value is the one whose CRC the reply carries.
func (op *ReplyOp) Intact() bool {
	return checksum.CRC(op.Value) == op.CRC
}

// Reply is a parsed reply; its operations are borrowed from the datagram.
type Reply struct {
	ReplyHeader
	OpCount int

	ops []byte
}

// ParseReply reads and checks all of b, except that values are not compared with their CRC: see ReplyOp.Intact.
func ParseReply(b []byte, r *Reply) Reason {
	r.OpCount, r.ops = 0, nil
	if reason := checkPrefix(b, ReplyHeaderBytes, FlagReply); reason != ReasonNone {
		return reason
	}
	r.readHeader(b)
	if b[OffsetOpCount] == 0 {
		return ReasonOpCount
	}
	if r.Epoch > MaxEpoch {
		return ReasonEpoch
	}
	headerBytes := int(b[OffsetHeaderWords]) * AlignBytes
	if reason := r.readReplyExtensions(b[ReplyHeaderBytes:headerBytes]); reason != ReasonNone {
		return reason
	}
	ops := b[headerBytes:]
	if reason := checkReplyOps(ops, int(b[OffsetOpCount])); reason != ReasonNone {
		return reason
	}
	r.ops, r.OpCount = ops, int(b[OffsetOpCount])
	return ReasonNone
}

func (r *Reply) readHeader(b []byte) {
	b = b[:ReplyHeaderBytes]
	r.ReplyHeader = ReplyHeader{
		Flags:     Flags(b[OffsetFlags]),
		Shard:     le.Uint16(b[OffsetShard:]),
		KeyHash:   le.Uint64(b[OffsetKeyHash:]),
		RequestID: le.Uint64(b[OffsetRequestID:]),
		SessionID: le.Uint64(b[OffsetSessionID:]),
		Epoch:     le.Uint32(b[OffsetEpoch:]),
		Load:      le.Uint16(b[OffsetLoad:]),
		RxQueue:   le.Uint16(b[OffsetRxQueue:]),
	}
}

func checkReplyOps(b []byte, count int) Reason {
	var op ReplyOp
	for range count {
		used, reason := readReplyOp(b, &op)
		if reason != ReasonNone {
			return reason
		}
		b = b[used:]
	}
	if len(b) != 0 {
		return ReasonTrailing
	}
	return ReasonNone
}

// readReplyOp reads and checks the operation at the beginning of b, and returns how many bytes it takes.
func readReplyOp(b []byte, op *ReplyOp) (int, Reason) {
	if len(b) < ReplyOpHeaderBytes {
		return 0, ReasonOpBounds
	}
	op.readFixed(b)
	valueBytes := uint64(le.Uint32(b[ReplyOpOffsetValueBytes:]))
	if reason := op.check(valueBytes); reason != ReasonNone {
		return 0, reason
	}
	if valueBytes > uint64(len(b)-ReplyOpHeaderBytes) {
		return 0, ReasonValueBounds
	}
	end := ReplyOpHeaderBytes + int(valueBytes)
	op.Value = b[ReplyOpHeaderBytes:end:end]
	if end == len(b) {
		return end, ReasonNone
	}
	padded := align(end)
	if padded > len(b) || !isPadded(b[:padded], end) {
		return 0, ReasonPadding
	}
	return padded, ReasonNone
}

func (op *ReplyOp) readFixed(b []byte) {
	b = b[:ReplyOpHeaderBytes]
	op.Code = Opcode(b[ReplyOpOffsetOpcode])
	op.Status = Status(b[ReplyOpOffsetStatus])
	op.Flags = ReplyFlags(le.Uint16(b[ReplyOpOffsetFlags:]))
	op.Version = Version(le.Uint64(b[ReplyOpOffsetVersion:]))
	op.TTLSeconds = le.Uint32(b[ReplyOpOffsetTTLSeconds:])
	op.AgeSeconds = le.Uint32(b[ReplyOpOffsetAgeSeconds:])
	op.CRC = le.Uint32(b[ReplyOpOffsetCRC:])
	op.L1GrantMillis = le.Uint16(b[ReplyOpOffsetL1GrantMillis:])
	op.Index = le.Uint16(b[ReplyOpOffsetIndex:])
	op.Token = le.Uint64(b[ReplyOpOffsetToken:])
	op.TotalBytes = le.Uint32(b[ReplyOpOffsetTotalBytes:])
	op.OffsetBytes = le.Uint32(b[ReplyOpOffsetOffsetBytes:])
}

func (op *ReplyOp) check(valueBytes uint64) Reason {
	switch {
	case op.Flags&^knownReplyFlags != 0, op.Flags&(ReplySegment|ReplyMore) == ReplyMore:
		return ReasonOpFlags
	case op.Status >= StatusCount:
		return ReasonStatus
	case op.Code != 0 && !op.Code.Known(), op.Code == 0 && op.Status == StatusOK:
		return ReasonOpcode
	}
	total, end := uint64(op.TotalBytes), uint64(op.OffsetBytes)+valueBytes
	switch {
	case op.Flags&ReplySegment == 0:
		// A whole value, or none: then the total may still say how long it is.
		if op.OffsetBytes != 0 || (valueBytes != 0 && valueBytes != total) {
			return ReasonSegment
		}
	case op.OffsetBytes%SegmentBytes != 0, end > total, end%SegmentBytes != 0 && end != total && valueBytes != 0:
		return ReasonSegment
	}
	return ReasonNone
}

// Ops walks the operations of a reply that parsed.
func (r *Reply) Ops() ReplyOpReader {
	return ReplyOpReader{rest: r.ops, left: r.OpCount}
}

// ReplyOpReader walks the operations of a checked reply.
type ReplyOpReader struct {
	rest []byte
	left int
}

// Next reads the next operation into op and reports whether there was one.
func (o *ReplyOpReader) Next(op *ReplyOp) bool {
	if o.left == 0 {
		return false
	}
	used, reason := readReplyOp(o.rest, op)
	if reason != ReasonNone { // only when the datagram was overwritten meanwhile
		o.left = 0
		return false
	}
	o.rest = o.rest[used:]
	o.left--
	return true
}
