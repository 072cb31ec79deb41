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
	r.headerRead, r.OpCount, r.LengthBytes, r.ops = false, 0, len(b), nil
	if reason := checkPrefix(b, RequestHeaderBytes, 0); reason != ReasonNone {
		return reason
	}
	r.readHeader(b)
	r.headerRead = true
	if reason := r.checkHeader(b); reason != ReasonNone {
		return reason
	}
	headerBytes := int(b[OffsetHeaderWords]) * AlignBytes
	if reason := checkRequestExtensions(b[RequestHeaderBytes:headerBytes]); reason != ReasonNone {
		return reason
	}
	ops := b[headerBytes:]
	if reason := checkOps(ops, int(b[OffsetOpCount])); reason != ReasonNone {
		return reason
	}
	r.ops, r.OpCount = ops, int(b[OffsetOpCount])
	return ReasonNone
}

// checkPrefix checks what requests and replies have in common. direction is FlagReply or 0.
func checkPrefix(b []byte, fixedBytes int, direction Flags) Reason {
	if len(b) < fixedBytes {
		return ReasonShort
	}
	if len(b) > MaxDatagramBytes {
		return ReasonLong
	}
	if le.Uint16(b[OffsetMagic:]) != Magic {
		return ReasonMagic
	}
	if b[OffsetVersion] != FormatVersion {
		return ReasonVersion
	}
	flags := Flags(b[OffsetFlags])
	if flags&^knownFlags != 0 || flags&(FlagSealed|FlagAuth) == FlagSealed|FlagAuth {
		return ReasonFlags
	}
	if flags&FlagReply != direction {
		return ReasonDirection
	}
	if flags&(FlagSealed|FlagAuth) != 0 {
		return ReasonSealed
	}
	if le.Uint64(b[OffsetPacketNumber:])|le.Uint64(b[OffsetTag:])|le.Uint64(b[OffsetTag+8:]) != 0 {
		return ReasonPacketNumber
	}
	if headerBytes := int(b[OffsetHeaderWords]) * AlignBytes; headerBytes < fixedBytes || headerBytes > len(b) {
		return ReasonHeaderLength
	}
	return ReasonNone
}

// readHeader copies the fields out of at least RequestHeaderBytes.
func (r *Request) readHeader(b []byte) {
	b = b[:RequestHeaderBytes]
	r.RequestHeader = RequestHeader{
		Flags:             Flags(b[OffsetFlags]),
		Shard:             le.Uint16(b[OffsetShard:]),
		KeyHash:           le.Uint64(b[OffsetKeyHash:]),
		RequestID:         le.Uint64(b[OffsetRequestID:]),
		SessionID:         le.Uint64(b[OffsetSessionID:]),
		Epoch:             le.Uint32(b[OffsetEpoch:]),
		BudgetMicros:      le.Uint32(b[OffsetBudgetMicros:]),
		Cookie:            le.Uint64(b[OffsetCookie:]),
		MinVersion:        Version(le.Uint64(b[OffsetMinVersion:])),
		GrantOffsetMicros: le.Uint32(b[OffsetGrantOffsetMicros:]),
		GrantRateKbit:     le.Uint32(b[OffsetGrantRateKbit:]),
		ExpectedBytes:     le.Uint32(b[OffsetExpectedBytes:]),
		FanOut:            le.Uint16(b[OffsetFanOut:]),
		MaxReplyBytes:     le.Uint16(b[OffsetMaxReplyBytes:]),
	}
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

// checkOps reads all of b as exactly count operations.
func checkOps(b []byte, count int) Reason {
	var op Op
	for range count {
		used, reason := readOp(b, &op)
		if reason != ReasonNone {
			return reason
		}
		if count > 1 && opRules[op.Code].alone {
			return ReasonNotAlone
		}
		b = b[used:]
	}
	if len(b) != 0 {
		return ReasonTrailing
	}
	return ReasonNone
}
