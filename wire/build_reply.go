package wire

import "gannet/checksum"

// ReplyHeader returns the header of a reply to r: the echoed fields are filled in. Stage times are promised only when the
// caller sets FlagStages; it may do so if r asks for them and its cookie is good (the extension makes a reply longer).
func (r *Request) ReplyHeader() ReplyHeader {
	return ReplyHeader{
		Flags:     FlagReply,
		Shard:     r.Shard,
		KeyHash:   r.KeyHash,
		RequestID: r.RequestID,
		SessionID: r.SessionID,
	}
}

// ReplyWriter builds one reply datagram in a given buffer, usually the request's own frame. Use: Begin, any number of Append…,
// Finish. Header may be changed until Finish (not its FlagStages), which writes it: so load and times can be the latest.
//
// What Append… writes lands behind the header, where the request's operations stood: look up all keys before the first Append.
type ReplyWriter struct {
	Header ReplyHeader

	buf           []byte
	at            int // where the next operation begins, aligned
	end           int // of what is written: at without the last value's padding
	externalBytes int // length of a value that is not in buf
	count         int
	sums          bool
	sum           uint16 // of the operations so far
}

// Begin starts a reply in buf, whose length bounds the datagram: give it the lesser of the frame's room and
// Request.ReplyRoomBytes, and for a sender without a good cookie also of Request.LengthBytes. It must hold MinReplyRoomBytes, or
// MinReplyBytes without stage times and values. With sums the writer adds up the one's-complement sum of the payload: see Sum.
func (w *ReplyWriter) Begin(buf []byte, header *ReplyHeader, sums bool) {
	w.Header = *header
	w.buf, w.sums = buf, sums
	w.at = w.Header.Bytes()
	w.end = w.at
	w.externalBytes, w.count, w.sum = 0, 0, 0
}

// RoomBytes is the longest value that a further operation can carry; negative when not even its header fits.
func (w *ReplyWriter) RoomBytes() int {
	if w.count >= MaxOps || w.externalBytes != 0 {
		return -1
	}
	return len(w.buf) - w.at - ReplyOpHeaderBytes
}

// Count of the operations so far.
func (w *ReplyWriter) Count() int {
	return w.count
}

// Append adds an operation with a copy of its value, and reports whether there was room. op.CRC must be the value's.
func (w *ReplyWriter) Append(op *ReplyOp) bool {
	room := w.AppendRoom(op, len(op.Value))
	if room == nil {
		return false
	}
	copy(room, op.Value)
	if w.sums {
		w.sum = checksum.Add(w.sum, checksum.Sum(room))
	}
	return true
}

// AppendSummed is Append for a value whose one's-complement sum is known already.
func (w *ReplyWriter) AppendSummed(op *ReplyOp, valueSum uint16) bool {
	room := w.AppendRoom(op, len(op.Value))
	if room == nil {
		return false
	}
	copy(room, op.Value)
	w.sum = checksum.Add(w.sum, valueSum)
	return true
}

// AppendRoom adds an operation and returns the place of its value, of valueBytes, which the caller fills; nil when there is no
// room (never nil otherwise). op.Value is not looked at. The sum, if wanted, must be given with AddSum.
func (w *ReplyWriter) AppendRoom(op *ReplyOp, valueBytes int) []byte {
	if w.RoomBytes() < valueBytes {
		return nil
	}
	w.appendHeader(op, valueBytes)
	value := w.buf[w.at : w.at+valueBytes : w.at+valueBytes]
	w.end = w.at + valueBytes
	w.at = min(align(w.end), len(w.buf))
	clear(w.buf[w.end:w.at])
	return value
}

// AppendExternal adds the last operation, whose value of valueBytes follows buf on the wire but lies elsewhere: in a second
// descriptor, or behind the header room in its slot. It always fits when the header does; the caller minds the datagram's limit.
func (w *ReplyWriter) AppendExternal(op *ReplyOp, valueBytes int, valueSum uint16) bool {
	if w.RoomBytes() < 0 {
		return false
	}
	w.appendHeader(op, valueBytes)
	w.end = w.at
	w.externalBytes = valueBytes
	w.sum = checksum.Add(w.sum, valueSum)
	return true
}

// AddSum adds the sum of a value that the caller wrote itself.
func (w *ReplyWriter) AddSum(valueSum uint16) {
	w.sum = checksum.Add(w.sum, valueSum)
}

func (w *ReplyWriter) appendHeader(op *ReplyOp, valueBytes int) {
	b := w.buf[w.at : w.at+ReplyOpHeaderBytes]
	b[ReplyOpOffsetOpcode] = byte(op.Code)
	b[ReplyOpOffsetStatus] = byte(op.Status)
	le.PutUint16(b[ReplyOpOffsetFlags:], uint16(op.Flags))
	le.PutUint32(b[ReplyOpOffsetValueBytes:], uint32(valueBytes))
	le.PutUint64(b[ReplyOpOffsetVersion:], uint64(op.Version))
	le.PutUint32(b[ReplyOpOffsetTTLSeconds:], op.TTLSeconds)
	le.PutUint32(b[ReplyOpOffsetAgeSeconds:], op.AgeSeconds)
	le.PutUint32(b[ReplyOpOffsetCRC:], op.CRC)
	le.PutUint16(b[ReplyOpOffsetL1GrantMillis:], op.L1GrantMillis)
	le.PutUint16(b[ReplyOpOffsetIndex:], op.Index)
	le.PutUint64(b[ReplyOpOffsetToken:], op.Token)
	le.PutUint32(b[ReplyOpOffsetTotalBytes:], op.TotalBytes)
	le.PutUint32(b[ReplyOpOffsetOffsetBytes:], op.OffsetBytes)
	if w.sums {
		w.sum = checksum.Add(w.sum, checksum.Sum(b))
	}
	w.at += ReplyOpHeaderBytes
	w.count++
}

// Finish writes the header and returns how many bytes of the buffer are the datagram (an external value follows them).
func (w *ReplyWriter) Finish() int {
	h := &w.Header
	headerBytes := h.Bytes()
	b := w.buf[:headerBytes]
	putPrefix(b, h.Flags|FlagReply, h.Shard, headerBytes)
	b[OffsetOpCount] = byte(w.count)
	le.PutUint64(b[OffsetKeyHash:], h.KeyHash)
	le.PutUint64(b[OffsetRequestID:], h.RequestID)
	le.PutUint64(b[OffsetSessionID:], h.SessionID)
	le.PutUint32(b[OffsetEpoch:], h.Epoch)
	le.PutUint16(b[OffsetLoad:], h.Load)
	le.PutUint16(b[OffsetRxQueue:], h.RxQueue)
	if h.Flags&FlagStages != 0 {
		putStages(b[ReplyHeaderBytes:], &h.Stages)
	}
	if w.sums {
		w.sum = checksum.Add(w.sum, checksum.Sum(b))
	}
	return w.end
}

func putStages(b []byte, s *Stages) {
	le.PutUint16(b[ExtensionOffsetType:], uint16(ExtensionStages))
	le.PutUint16(b[ExtensionOffsetLength:], StagesBytes)
	le.PutUint32(b[ExtensionOffsetInline:], 0)
	le.PutUint64(b[8:], s.ReceivedNanos)
	le.PutUint64(b[16:], s.ServedNanos)
	le.PutUint64(b[24:], s.SentNanos)
}

// Sum is the one's-complement sum of the whole payload, external value included, once Finish was called.
func (w *ReplyWriter) Sum() uint16 {
	return w.sum
}
