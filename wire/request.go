package wire

import "encoding/binary"

var le = binary.LittleEndian

// RequestHeader holds the fields of a request's header that a sender chooses.
type RequestHeader struct {
	Flags             Flags
	Shard             uint16
	KeyHash           uint64 // of the first operation's key
	RequestID         uint64
	SessionID         uint64
	Epoch             uint32
	BudgetMicros      uint32 // time left, 0: none given
	Cookie            uint64
	MinVersion        Version // 0: none
	GrantOffsetMicros uint32
	GrantRateKbit     uint32 // 0: no pacing grant
	ExpectedBytes     uint32 // over the whole multi-get
	FanOut            uint16 // nodes asked at once
	MaxReplyBytes     uint16 // 0: DefaultReplyRoomBytes
}

// Request is a parsed request. Its header fields are copies; its operations are borrowed from the datagram and valid only as long
// as that is not overwritten, which building the reply in place does.
type Request struct {
	RequestHeader
	OpCount     int
	LengthBytes int // of the whole datagram: an unproven sender gets no more than that

	headerRead bool
	plain      bool // every operation is one that PlainGet reads
	ops        []byte
}

// HeaderRead reports whether the fixed header was read, also when a later rule was broken: only then are cookie and request id known
// and can an error be answered.
func (r *Request) HeaderRead() bool {
	return r.headerRead
}

// ReplyRoomBytes is the longest reply datagram the client takes.
func (r *Request) ReplyRoomBytes() int {
	if r.MaxReplyBytes == 0 {
		return DefaultReplyRoomBytes
	}
	return int(r.MaxReplyBytes)
}

// ParseRequest reads and checks all of b. For every result but ReasonNone r holds at most the header: see HeaderRead.
func ParseRequest(b []byte, r *Request) Reason {
	r.headerRead, r.plain, r.OpCount, r.LengthBytes, r.ops = false, false, 0, len(b), nil
	if reason := checkPrefix(b, RequestHeaderBytes, 0); reason != ReasonNone {
		return reason
	}
	r.readHeader(b)
	r.headerRead = true
	if reason := r.checkHeader(b); reason != ReasonNone {
		return reason
	}
	headerBytes := int(b[OffsetHeaderWords]) * AlignBytes
	if headerBytes != RequestHeaderBytes {
		if reason := checkRequestExtensions(b[RequestHeaderBytes:headerBytes]); reason != ReasonNone {
			return reason
		}
	}
	ops := b[headerBytes:]
	plain, reason := checkOps(ops, int(b[OffsetOpCount]))
	if reason != ReasonNone {
		return reason
	}
	r.ops, r.OpCount, r.plain = ops, int(b[OffsetOpCount]), plain
	return ReasonNone
}

// checkPrefix checks what requests and replies have in common. direction is FlagReply or 0.
func checkPrefix(b []byte, fixedBytes int, direction Flags) Reason {
	if len(b) < fixedBytes || len(b) < PrefixBytes {
		return ReasonShort
	}
	if len(b) > MaxDatagramBytes {
		return ReasonLong
	}
	const fixed = 1<<32 - 1 - uint64(FlagStages)<<24 // magic, version and the flags that say how to read on
	head := le.Uint64(b)
	if head&fixed != Magic|FormatVersion<<16|uint64(direction)<<24 {
		return prefixReason(b, direction)
	}
	if le.Uint64(b[OffsetPacketNumber:])|le.Uint64(b[OffsetTag:])|le.Uint64(b[OffsetTag+8:]) != 0 {
		return ReasonPacketNumber
	}
	if headerBytes := int(head>>56) * AlignBytes; headerBytes < fixedBytes || headerBytes > len(b) {
		return ReasonHeaderLength
	}
	return ReasonNone
}

// prefixReason names what is wrong with the first four bytes.
func prefixReason(b []byte, direction Flags) Reason {
	flags := Flags(b[OffsetFlags])
	switch {
	case le.Uint16(b[OffsetMagic:]) != Magic:
		return ReasonMagic
	case b[OffsetVersion] != FormatVersion:
		return ReasonVersion
	case flags&^knownFlags != 0 || flags&(FlagSealed|FlagAuth) == FlagSealed|FlagAuth:
		return ReasonFlags
	case flags&FlagReply != direction:
		return ReasonDirection
	}
	return ReasonSealed
}

// readHeader copies the fields out of at least RequestHeaderBytes.
func (r *Request) readHeader(b []byte) {
	b = b[:RequestHeaderBytes]
	r.Flags = Flags(b[OffsetFlags])
	r.Shard = le.Uint16(b[OffsetShard:])
	r.KeyHash = le.Uint64(b[OffsetKeyHash:])
	r.RequestID = le.Uint64(b[OffsetRequestID:])
	r.SessionID = le.Uint64(b[OffsetSessionID:])
	r.Epoch = le.Uint32(b[OffsetEpoch:])
	r.BudgetMicros = le.Uint32(b[OffsetBudgetMicros:])
	r.Cookie = le.Uint64(b[OffsetCookie:])
	r.MinVersion = Version(le.Uint64(b[OffsetMinVersion:]))
	r.GrantOffsetMicros = le.Uint32(b[OffsetGrantOffsetMicros:])
	r.GrantRateKbit = le.Uint32(b[OffsetGrantRateKbit:])
	r.ExpectedBytes = le.Uint32(b[OffsetExpectedBytes:])
	r.FanOut = le.Uint16(b[OffsetFanOut:])
	r.MaxReplyBytes = le.Uint16(b[OffsetMaxReplyBytes:])
}

func (r *Request) checkHeader(b []byte) Reason {
	switch {
	case b[OffsetOpCount] == 0:
		return ReasonOpCount
	case r.Epoch > MaxEpoch:
		return ReasonEpoch
	case r.MaxReplyBytes != 0 && r.MaxReplyBytes < MinReplyRoomBytes:
		return ReasonReplyRoom
	}
	return ReasonNone
}

// Ops walks the operations of a request that parsed.
func (r *Request) Ops() OpReader {
	return OpReader{rest: r.ops, count: r.OpCount}
}

// InCopy is the same request in a copy of its datagram, for those who overwrite that before they have read all operations.
func (r *Request) InCopy(datagram []byte) Request {
	c := *r
	c.ops = datagram[len(datagram)-len(r.ops):]
	return c
}

// AppendKeyHashes appends the hashes of the operations' keys: hints of what will be looked up, because the first is what the sender
// claims. It needs a request that parsed.
func (r *Request) AppendKeyHashes(dst []uint64) []uint64 {
	dst = append(dst, r.KeyHash)
	b := r.ops
	for range r.OpCount - 1 {
		b = b[opBytes(b):]
		at, keyBytes := opHeaderBytes(b), int(b[OpOffsetKeyBytes])
		dst = append(dst, KeyHash(b[at:at+keyBytes]))
	}
	return dst
}

// opHeaderBytes is the length of a checked operation's header.
func opHeaderBytes(b []byte) int {
	if OpFlags(b[OpOffsetFlags])&OpSegment != 0 {
		return OpHeaderBytes + OpSegmentBytes
	}
	return OpHeaderBytes
}

// opBytes is the length of a checked operation that is not the last one.
func opBytes(b []byte) int {
	return opHeaderBytes(b) + align(int(b[OpOffsetKeyBytes])) + align(int(le.Uint32(b[OpOffsetValueBytes:])))
}

// OpReader walks the operations of a checked request.
type OpReader struct {
	rest  []byte
	index int
	count int
}

// Next reads the next operation into op and reports whether there was one.
func (o *OpReader) Next(op *Op) bool {
	if o.index >= o.count {
		return false
	}
	used, reason := readOp(o.rest, op)
	if reason != ReasonNone { // only when the datagram was overwritten meanwhile
		o.index = o.count
		return false
	}
	op.Index = o.index
	o.rest = o.rest[used:]
	o.index++
	return true
}

// PlainGet reads the operation at an offset into the operations of a request that consists of GETs of whole values alone, and returns
// the offset of the one after it; 0 when the request has anything else, or there is none: Ops reads that. It is the fast way through
// the operations of most requests: all that it relies on was checked when the request was parsed.
func (r *Request) PlainGet(at int) (key []byte, flags OpFlags, next int) {
	if !r.plain || uint(at) > uint(len(r.ops)) || len(r.ops)-at < OpHeaderBytes {
		return nil, 0, 0
	}
	b := r.ops[at:]
	head := le.Uint64(b)
	keyBytes, valueBytes := plainLengths(head)
	return b[OpHeaderBytes : OpHeaderBytes+keyBytes : OpHeaderBytes+keyBytes], OpFlags(head >> (8 * OpOffsetFlags)), at + OpHeaderBytes + align(keyBytes) + valueBytes
}

// plainLengths are those of key and padding, out of the first word of a plain GET.
func plainLengths(head uint64) (keyBytes, valueBytes int) {
	return int(head >> (8 * OpOffsetKeyBytes) & 0xFF), int(head >> (8 * OpOffsetValueBytes))
}

// plainGet reports how long the operation at the beginning of b is, if that is a valid GET of a whole value, with nothing but a key and
// perhaps padding in whole words; otherwise 0.
func plainGet(b []byte) (usedBytes int) {
	if len(b) < OpHeaderBytes+AlignBytes {
		return 0
	}
	const mayVary = uint64(readFlags&^OpSegment)<<(8*OpOffsetFlags) | 0xFF<<(8*OpOffsetKeyBytes) | 0xFFFFFFFF<<(8*OpOffsetValueBytes)
	head := le.Uint64(b)
	if head&^mayVary != uint64(Get) || le.Uint64(b[OpOffsetTTLSeconds:]) != 0 {
		return 0
	}
	keyBytes, valueBytes := plainLengths(head)
	used := OpHeaderBytes + align(keyBytes)
	if keyBytes == 0 || keyBytes > MaxKeyBytes || used > len(b) || valueBytes > len(b)-used || valueBytes%AlignBytes != 0 {
		return 0
	}
	if padded := keyBytes % AlignBytes; padded != 0 && le.Uint64(b[used-AlignBytes:])>>(8*padded) != 0 {
		return 0
	}
	return used + valueBytes
}

// plainPut is plainGet for a valid PUT of a whole value without times.
func plainPut(b []byte) (usedBytes int) {
	if len(b) < OpHeaderBytes+AlignBytes {
		return 0
	}
	const mayVary = uint64(OpAckReplica)<<(8*OpOffsetFlags) | 0xFF<<(8*OpOffsetKeyBytes) | 0xFFFFFFFF<<(8*OpOffsetValueBytes)
	head := le.Uint64(b)
	if head&^mayVary != uint64(Put) || le.Uint64(b[OpOffsetTTLSeconds:]) != 0 {
		return 0
	}
	keyBytes, valueBytes := plainLengths(head)
	valueAt := OpHeaderBytes + align(keyBytes)
	if keyBytes == 0 || keyBytes > MaxKeyBytes || valueAt > len(b) || valueBytes > len(b)-valueAt || !isPadded(b[:valueAt], keyBytes) {
		return 0
	}
	end := valueAt + valueBytes
	if end == len(b) {
		return end
	}
	if used := align(end); used <= len(b) && isPadded(b[:used], end) {
		return used
	}
	return 0
}

// checkOps reads all of b as exactly count operations. plain says that each is a plain GET.
func checkOps(b []byte, count int) (plain bool, reason Reason) {
	plain = true
	for range count {
		used := plainGet(b)
		if used == 0 {
			plain = false
			if used = plainPut(b); used == 0 {
				if used, reason = checkOp(b, count); reason != ReasonNone {
					return false, reason
				}
			}
		}
		b = b[used:]
	}
	if len(b) != 0 {
		return false, ReasonTrailing
	}
	return plain, ReasonNone
}

// checkOp reads the first of count operations.
func checkOp(b []byte, count int) (int, Reason) {
	var op Op
	used, reason := readOp(b, &op)
	if reason == ReasonNone && count > 1 && opRules[op.Code].alone {
		reason = ReasonNotAlone
	}
	return used, reason
}
