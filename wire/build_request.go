package wire

import "slices"

// AppendRequest appends a request's header, without operations so far, to dst. It begins at len(dst): the start that AppendOp and
// AppendExtension want to know.
func AppendRequest(dst []byte, h *RequestHeader) []byte {
	start := len(dst)
	dst = extend(dst, RequestHeaderBytes)
	b := dst[start:]
	putPrefix(b, h.Flags&^FlagReply, h.Shard, RequestHeaderBytes)
	le.PutUint64(b[OffsetKeyHash:], h.KeyHash)
	le.PutUint64(b[OffsetRequestID:], h.RequestID)
	le.PutUint64(b[OffsetSessionID:], h.SessionID)
	le.PutUint32(b[OffsetEpoch:], h.Epoch)
	le.PutUint32(b[OffsetBudgetMicros:], h.BudgetMicros)
	le.PutUint64(b[OffsetCookie:], h.Cookie)
	le.PutUint64(b[OffsetMinVersion:], uint64(h.MinVersion))
	le.PutUint32(b[OffsetGrantOffsetMicros:], h.GrantOffsetMicros)
	le.PutUint32(b[OffsetGrantRateKbit:], h.GrantRateKbit)
	le.PutUint32(b[OffsetExpectedBytes:], h.ExpectedBytes)
	le.PutUint16(b[OffsetFanOut:], h.FanOut)
	le.PutUint16(b[OffsetMaxReplyBytes:], h.MaxReplyBytes)
	return dst
}

// putPrefix writes the fields at the beginning, with no operations, and clears packet number and tag.
func putPrefix(b []byte, flags Flags, shard uint16, headerBytes int) {
	clear(b[:PrefixBytes])
	le.PutUint16(b[OffsetMagic:], Magic)
	b[OffsetVersion] = FormatVersion
	b[OffsetFlags] = byte(flags)
	le.PutUint16(b[OffsetShard:], shard)
	b[OffsetHeaderWords] = byte(headerBytes / AlignBytes)
}

// AppendExtension adds an extension to the request that begins at start and has no operations yet. The header may grow to
// MaxHeaderBytes.
func AppendExtension(dst []byte, start int, e Extension) []byte {
	length := align(ExtensionHeaderBytes + len(e.Data))
	at := len(dst)
	dst = extend(dst, length)
	b := dst[at:]
	le.PutUint16(b[ExtensionOffsetType:], uint16(e.Type))
	le.PutUint16(b[ExtensionOffsetLength:], uint16(length))
	le.PutUint32(b[ExtensionOffsetInline:], e.Inline)
	copy(b[ExtensionHeaderBytes:], e.Data)
	dst[start+OffsetHeaderWords] = byte((len(dst) - start) / AlignBytes)
	return dst
}

// AppendOp adds an operation that passes Op.Check to the request that begins at start; MaxOps is the most it takes. The value is
// always padded.
func AppendOp(dst []byte, start int, op *Op) []byte {
	at := len(dst)
	dst = extend(dst, op.Bytes())
	b := dst[at:]
	b[OpOffsetOpcode] = byte(op.Code)
	b[OpOffsetFlags] = byte(op.Flags)
	b[OpOffsetKeyBytes] = byte(len(op.Key))
	le.PutUint32(b[OpOffsetValueBytes:], uint32(len(op.Value)))
	le.PutUint32(b[OpOffsetTTLSeconds:], op.TTLSeconds)
	le.PutUint32(b[OpOffsetSoftSeconds:], op.SoftSeconds)
	le.PutUint64(b[OpOffsetArg:], op.Arg)
	if op.Flags&OpSegment != 0 {
		le.PutUint32(b[OpOffsetTotalBytes:], op.TotalBytes)
		le.PutUint32(b[OpOffsetOffsetBytes:], op.OffsetBytes)
		le.PutUint64(b[OpOffsetTransfer:], op.Transfer)
	}
	body := b[op.headerBytes():]
	copy(body, op.Key)
	copy(body[align(len(op.Key)):], op.Value)
	dst[start+OffsetOpCount]++
	return dst
}

// extend lengthens dst by n zero bytes.
func extend(dst []byte, n int) []byte {
	length := len(dst)
	dst = slices.Grow(dst, n)[:length+n]
	clear(dst[length:])
	return dst
}
