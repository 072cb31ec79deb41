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
	sum           checksum.Words // of the operations so far
}

// Begin starts a reply in buf, whose length bounds the datagram: give it the lesser of the frame's room and
// Request.ReplyRoomBytes, and for a sender without a good cookie also of Request.LengthBytes. It must hold MinReplyRoomBytes, or
// MinReplyBytes without stage times and values. With sums the writer adds up the one's-complement sum of the payload: see Sum.
func (w *ReplyWriter) Begin(buf []byte, header *ReplyHeader, sums bool) {
	w.Header = *header
	w.buf, w.sums = buf, sums
	w.at = w.Header.Bytes()
	w.end = w.at
	w.externalBytes, w.count, w.sum = 0, 0, checksum.Words{}
}

// BeginEcho starts the reply to a request in the request's own datagram, of which buf is the beginning: what a reply echoes stands
// there already. It is ended by FinishEcho in place of Finish, has no stage times, and leaves Header alone.
func (w *ReplyWriter) BeginEcho(buf []byte, sums bool) {
	w.buf, w.sums = buf, sums
	w.at, w.end = ReplyHeaderBytes, ReplyHeaderBytes
	w.externalBytes, w.count, w.sum = 0, 0, checksum.Words{}
}

// FinishEcho writes what differs between the header of r, whose datagram was given to BeginEcho, and that of the reply: the first
// word and the last. Those between, packet number and tag included, were checked or are echoed.
func (w *ReplyWriter) FinishEcho(r *Request, epoch uint32, load, rxQueue uint16) int {
	b := w.buf[:ReplyHeaderBytes]
	head := prefixWord(FlagReply, r.Shard, w.count, ReplyHeaderBytes)
	last := uint64(epoch) | uint64(load)<<32 | uint64(rxQueue)<<48
	le.PutUint64(b[OffsetMagic:], head)
	le.PutUint64(b[OffsetEpoch:], last)
	if w.sums {
		w.sum.Add6(head, r.KeyHash, r.RequestID, r.SessionID, last, 0)
	}
	return w.end
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
	if w.sums {
		w.sum = w.sum.WithCopy(room, op.Value)
	} else {
		copy(room, op.Value)
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
	w.sum.AddSum(valueSum)
	return true
}

// AppendRoom adds an operation and returns the place of its value, of valueBytes, which the caller fills; nil when there is no
// room (never nil otherwise). op.Value is not looked at. The sum, if wanted, must be given with AddSum.
func (w *ReplyWriter) AppendRoom(op *ReplyOp, valueBytes int) []byte {
	if w.RoomBytes() < valueBytes {
		return nil
	}
	w.appendHeader(op, valueBytes)
	return w.valueRoom(valueBytes)
}

// valueRoom is the place of the value that follows the header just written.
func (w *ReplyWriter) valueRoom(valueBytes int) []byte {
	value := w.buf[w.at : w.at+valueBytes : w.at+valueBytes]
	w.end = w.at + valueBytes
	w.pad()
	return value
}

// AppendHit is Append for a GET that found a whole value, in one pass. What it writes is given in registers: a ReplyOp that has just
// been filled in, field by field, is slow to read in words. grantMillis is the permission to keep a copy, 0: none.
func (w *ReplyWriter) AppendHit(version Version, ttlSeconds, ageSeconds, crc uint32, index, grantMillis uint16, value []byte) bool {
	if w.RoomBytes() < len(value) {
		return false
	}
	head, life, check := hitWords(ttlSeconds, ageSeconds, crc, index, grantMillis, len(value))
	at := w.at + ReplyOpHeaderBytes
	b := w.buf[w.at:at]
	le.PutUint64(b[ReplyOpOffsetOpcode:], head)
	le.PutUint64(b[ReplyOpOffsetVersion:], uint64(version))
	le.PutUint64(b[ReplyOpOffsetTTLSeconds:], life)
	le.PutUint64(b[ReplyOpOffsetCRC:], check)
	le.PutUint64(b[ReplyOpOffsetToken:], 0)
	le.PutUint64(b[ReplyOpOffsetTotalBytes:], uint64(len(value)))
	w.end = at + len(value)
	w.at = min(align(w.end), len(w.buf))
	w.count++
	room := w.buf[at:w.at]
	if !w.sums {
		clear(room[copy(room, value):])
		return true
	}
	sum := w.sum
	sum.Add6(head, uint64(version), life, check, uint64(len(value)), 0)
	w.sum = sum.WithCopy(room, value)
	return true
}

// hitWords are the words of a hit's header that do not stand for themselves.
func hitWords(ttlSeconds, ageSeconds, crc uint32, index, grantMillis uint16, valueBytes int) (head, life, check uint64) {
	flags := ReplyFlags(0)
	if grantMillis != 0 {
		flags = ReplyL1Grant
	}
	head = uint64(Get) | uint64(StatusOK)<<8 | uint64(flags)<<16 | uint64(valueBytes)<<32
	life = uint64(ttlSeconds) | uint64(ageSeconds)<<32
	check = uint64(crc) | uint64(grantMillis)<<32 | uint64(index)<<48
	return head, life, check
}

// AppendHitSummed is AppendHit for a value whose one's-complement sum is known already.
func (w *ReplyWriter) AppendHitSummed(version Version, ttlSeconds, ageSeconds, crc uint32, index, grantMillis uint16, value []byte, valueSum uint16) bool {
	if w.RoomBytes() < len(value) {
		return false
	}
	head, life, check := hitWords(ttlSeconds, ageSeconds, crc, index, grantMillis, len(value))
	w.appendWords(head, uint64(version), life, check, 0, uint64(len(value)))
	copy(w.valueRoom(len(value)), value)
	w.sum.AddSum(valueSum)
	return true
}

// AppendAnswer adds an operation without a value or times, in registers like AppendHit, and reports whether there was room.
func (w *ReplyWriter) AppendAnswer(code Opcode, status Status, flags ReplyFlags, index uint16, version Version, token uint64) bool {
	if w.RoomBytes() < 0 {
		return false
	}
	w.appendWords(uint64(code)|uint64(status)<<8|uint64(flags)<<16, uint64(version), 0, uint64(index)<<48, token, 0)
	w.end = w.at
	return true
}

// pad moves to where another operation may begin, over zeros. The last word is cleared as a whole, before the value is written.
func (w *ReplyWriter) pad() {
	w.at = align(w.end)
	switch {
	case w.at == w.end:
	case w.at <= len(w.buf):
		le.PutUint64(w.buf[w.at-AlignBytes:], 0)
	default:
		w.at = len(w.buf)
		clear(w.buf[w.end:w.at])
	}
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
	w.sum.AddSum(valueSum)
	return true
}

// AddSum adds the sum of a value that the caller wrote itself.
func (w *ReplyWriter) AddSum(valueSum uint16) {
	w.sum.AddSum(valueSum)
}

// appendHeader writes in whole words: they are summed in their registers, because reading back what was just stored in smaller
// pieces would stall.
func (w *ReplyWriter) appendHeader(op *ReplyOp, valueBytes int) {
	head := uint64(op.Code) | uint64(op.Status)<<8 | uint64(op.Flags)<<16 | uint64(valueBytes)<<32
	life := uint64(op.TTLSeconds) | uint64(op.AgeSeconds)<<32
	check := uint64(op.CRC) | uint64(op.L1GrantMillis)<<32 | uint64(op.Index)<<48
	part := uint64(op.TotalBytes) | uint64(op.OffsetBytes)<<32
	w.appendWords(head, uint64(op.Version), life, check, op.Token, part)
}

// appendWords adds an operation's header.
func (w *ReplyWriter) appendWords(head, version, life, check, token, part uint64) {
	b := w.buf[w.at : w.at+ReplyOpHeaderBytes]
	le.PutUint64(b[ReplyOpOffsetOpcode:], head)
	le.PutUint64(b[ReplyOpOffsetVersion:], version)
	le.PutUint64(b[ReplyOpOffsetTTLSeconds:], life)
	le.PutUint64(b[ReplyOpOffsetCRC:], check)
	le.PutUint64(b[ReplyOpOffsetToken:], token)
	le.PutUint64(b[ReplyOpOffsetTotalBytes:], part)
	if w.sums {
		w.sum.Add6(head, version, life, check, token, part)
	}
	w.at += ReplyOpHeaderBytes
	w.count++
}

// Finish writes the header and returns how many bytes of the buffer are the datagram (an external value follows them).
func (w *ReplyWriter) Finish() int {
	h := &w.Header
	headerBytes := h.Bytes()
	b := w.buf[:headerBytes]
	head := prefixWord(h.Flags|FlagReply, h.Shard, w.count, headerBytes)
	last := uint64(h.Epoch) | uint64(h.Load)<<32 | uint64(h.RxQueue)<<48
	le.PutUint64(b[OffsetMagic:], head)
	le.PutUint64(b[OffsetKeyHash:], h.KeyHash)
	le.PutUint64(b[OffsetRequestID:], h.RequestID)
	le.PutUint64(b[OffsetSessionID:], h.SessionID)
	clear(b[OffsetPacketNumber:OffsetEpoch])
	le.PutUint64(b[OffsetEpoch:], last)
	if w.sums {
		w.sum.Add6(head, h.KeyHash, h.RequestID, h.SessionID, last, 0)
	}
	if h.Flags&FlagStages != 0 {
		putStages(b[ReplyHeaderBytes:], &h.Stages)
		if w.sums {
			w.sum.Add6(stagesWord, h.Stages.ReceivedNanos, h.Stages.ServedNanos, h.Stages.SentNanos, 0, 0)
		}
	}
	return w.end
}

// prefixWord is the first word of a datagram.
func prefixWord(flags Flags, shard uint16, ops, headerBytes int) uint64 {
	return Magic | FormatVersion<<16 | uint64(flags)<<24 | uint64(shard)<<32 | uint64(uint8(ops))<<48 | uint64(headerBytes/AlignBytes)<<56
}

const stagesWord = uint64(ExtensionStages) | StagesBytes<<16

func putStages(b []byte, s *Stages) {
	le.PutUint64(b[ExtensionOffsetType:], stagesWord)
	le.PutUint64(b[8:], s.ReceivedNanos)
	le.PutUint64(b[16:], s.ServedNanos)
	le.PutUint64(b[24:], s.SentNanos)
}

// Sum is the one's-complement sum of the whole payload, external value included, once Finish was called.
func (w *ReplyWriter) Sum() uint16 {
	return w.sum.Sum()
}
