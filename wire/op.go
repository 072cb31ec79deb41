package wire

// Op is one operation of a request. Key and Value are borrowed from the datagram they were read from.
type Op struct {
	Code        Opcode
	Flags       OpFlags
	Index       int // place in the request; ignored when written
	TTLSeconds  uint32
	SoftSeconds uint32
	// Arg: PUT, ADD, REPLACE: lease token. CAS: expected version. INCR: delta, an int64. GET: token of one who asks again. Else 0.
	Arg   uint64
	Key   []byte
	Value []byte

	// With OpSegment only.
	TotalBytes  uint32 // of the whole value; GET: bytes wanted, 0 to the end
	OffsetBytes uint32 // a multiple of SegmentBytes
	Transfer    uint64 // writes: transfer id. GET: version being assembled, 0 any
}

// Bytes is the operation's length on the wire, all padding included.
func (op *Op) Bytes() int {
	return op.headerBytes() + align(len(op.Key)) + align(len(op.Value))
}

func (op *Op) headerBytes() int {
	if op.Flags&OpSegment != 0 {
		return OpHeaderBytes + OpSegmentBytes
	}
	return OpHeaderBytes
}

// Check reports the first rule that the operation breaks; one that breaks none may be written.
func (op *Op) Check() Reason {
	if reason := op.checkFields(0, len(op.Key), uint32(len(op.Value))); reason != ReasonNone {
		return reason
	}
	if op.Flags&OpSegment != 0 {
		return op.checkSegment(uint32(len(op.Value)))
	}
	return ReasonNone
}

// readOp reads and checks the operation at the beginning of b, and returns how many bytes it takes.
func readOp(b []byte, op *Op) (int, Reason) {
	if len(b) < OpHeaderBytes {
		return 0, ReasonOpBounds
	}
	keyBytes, valueBytes := int(b[OpOffsetKeyBytes]), le.Uint32(b[OpOffsetValueBytes:])
	op.readFixed(b)
	if reason := op.checkFields(b[OpOffsetReserved], keyBytes, valueBytes); reason != ReasonNone {
		return 0, reason
	}
	at := OpHeaderBytes
	if op.Flags&OpSegment != 0 {
		if len(b) < OpHeaderBytes+OpSegmentBytes {
			return 0, ReasonOpBounds
		}
		op.readSegment(b)
		if reason := op.checkSegment(valueBytes); reason != ReasonNone {
			return 0, reason
		}
		at += OpSegmentBytes
	}
	return op.readBody(b, at, keyBytes, valueBytes)
}

func (op *Op) readFixed(b []byte) {
	b = b[:OpHeaderBytes]
	op.Code = Opcode(b[OpOffsetOpcode])
	op.Flags = OpFlags(b[OpOffsetFlags])
	op.TTLSeconds = le.Uint32(b[OpOffsetTTLSeconds:])
	op.SoftSeconds = le.Uint32(b[OpOffsetSoftSeconds:])
	op.Arg = le.Uint64(b[OpOffsetArg:])
	op.TotalBytes, op.OffsetBytes, op.Transfer = 0, 0, 0
}

func (op *Op) readSegment(b []byte) {
	b = b[:OpHeaderBytes+OpSegmentBytes]
	op.TotalBytes = le.Uint32(b[OpOffsetTotalBytes:])
	op.OffsetBytes = le.Uint32(b[OpOffsetOffsetBytes:])
	op.Transfer = le.Uint64(b[OpOffsetTransfer:])
}

// readBody takes key and value from behind the header, which ends at. The value's padding may be missing at the datagram's end.
func (op *Op) readBody(b []byte, at, keyBytes int, valueBytes uint32) (int, Reason) {
	valueAt := at + align(keyBytes)
	if valueAt > len(b) {
		return 0, ReasonKeyBounds
	}
	if uint64(valueBytes) > uint64(len(b)-valueAt) {
		return 0, ReasonValueBounds
	}
	end := valueAt + int(valueBytes)
	op.Key = b[at : at+keyBytes : at+keyBytes]
	op.Value = b[valueAt:end:end]
	if !isPadded(b[:valueAt], keyBytes) {
		return 0, ReasonPadding
	}
	if end == len(b) {
		return end, ReasonNone
	}
	padded := align(end)
	if padded > len(b) || !isPadded(b[:padded], end) {
		return 0, ReasonPadding
	}
	return padded, ReasonNone
}

// isPadded reports whether the bytes with which b was filled up to a multiple of AlignBytes are zero. Only the last word can hold
// any; lengthBytes, of what was filled up, says how many are not padding.
func isPadded(b []byte, lengthBytes int) bool {
	used := lengthBytes % AlignBytes
	return used == 0 || le.Uint64(b[len(b)-AlignBytes:])>>(used*8) == 0
}

// checkFields applies the rules of the opcode to what the fixed header says.
func (op *Op) checkFields(reserved byte, keyBytes int, valueBytes uint32) Reason {
	if !op.Code.Known() {
		return ReasonOpcode
	}
	rule := &opRules[op.Code]
	switch {
	case op.Flags&^rule.flags != 0:
		return ReasonOpFlags
	case reserved != 0:
		return ReasonReserved
	case rule.key != (keyBytes != 0) || keyBytes > MaxKeyBytes:
		return ReasonKeyLength
	case !rule.value && valueBytes != 0:
		return ReasonValueUnexpected
	case op.Arg != 0 && !rule.arg:
		return ReasonArg
	case op.Code == Hello && valueBytes < MinHelloPadBytes:
		return ReasonHelloShort
	}
	return op.checkTTL(rule.ttl)
}

func (op *Op) checkTTL(allowed bool) Reason {
	if op.TTLSeconds|op.SoftSeconds == 0 {
		return ReasonNone
	}
	switch {
	case op.TTLSeconds > MaxTTLSeconds, !allowed && op.TTLSeconds != 0:
		return ReasonTTL
	case op.SoftSeconds > MaxTTLSeconds, !allowed, op.TTLSeconds != 0 && op.SoftSeconds >= op.TTLSeconds:
		return ReasonSoftTTL
	}
	return ReasonNone
}

// checkSegment: a part begins at a unit's border, lies within its whole, and ends at a unit's border or at the end of the whole. A
// GET names what it wants instead, so that its total bounds nothing.
func (op *Op) checkSegment(valueBytes uint32) Reason {
	if op.OffsetBytes%SegmentBytes != 0 {
		return ReasonSegment
	}
	if op.Code == Get {
		return ReasonNone
	}
	end := uint64(op.OffsetBytes) + uint64(valueBytes)
	if valueBytes == 0 || end > uint64(op.TotalBytes) || (end%SegmentBytes != 0 && end != uint64(op.TotalBytes)) {
		return ReasonSegment
	}
	return ReasonNone
}
