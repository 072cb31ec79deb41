package replication

// AppendMessage appends what DecodeMessage reads.
func AppendMessage(dst []byte, m Message) []byte {
	e := encoder{append(dst, byte(m.kind()))}
	switch v := m.(type) {
	case Beat:
		e.u32(v.Epoch)
	case GrantAsk:
		e.u32(v.Epoch)
		e.i64(v.SentNanos)
	case Grant:
		e.u32(v.Epoch)
		e.i64(v.SentNanos)
	case RingNews:
		e.record(&v.Record)
	case Redo:
		e.u32(v.Epoch)
	case Report:
		e.report(&v)
	default:
		e.stream(m)
	}
	return e.b
}

func (e *encoder) report(v *Report) {
	e.u64(v.From)
	e.u64(v.Life)
	e.u64(v.Number)
	e.u32(v.Epoch)
	e.accusations(v.Accused)
	e.u8(uint8(v.Wish))
	e.bool(v.Warm)
}

func (e *encoder) stream(m Message) {
	switch v := m.(type) {
	case Open:
		e.u32(v.Epoch)
		e.u64(v.Life)
		e.spans(v.Spans)
	case Resume:
		e.u32(v.Epoch)
		e.u64(v.Life)
		e.u64s(v.Positions)
		e.ranges(v.Have)
		e.u32(v.Since)
		e.bool(v.Takes)
	case Start:
		e.u32(v.Epoch)
		e.u64(v.Life)
		e.u64s(v.From)
		e.ranges(v.Have)
		e.bool(v.Reset)
	case Batch:
		e.u32(v.Epoch)
		e.u64(v.Life)
		e.u16(v.Shard)
		e.u64(v.After)
		e.u64(v.Upto)
		e.u32(v.Records)
		e.bytes(v.Payload)
	case Hints:
		e.u32(v.Epoch)
		e.u16(v.Shard)
		e.u32(v.Records)
		e.bytes(v.Payload)
	case Ack:
		e.u32(v.Epoch)
		e.u64(v.Life)
		e.u16(v.Shard)
		e.u64(v.Upto)
	case Release:
		e.u32(v.Epoch)
		e.u64s(v.Positions)
	default:
		e.repair(m)
	}
}

func (e *encoder) repair(m Message) {
	switch v := m.(type) {
	case Begin:
		e.u32(v.Epoch)
		e.u64(v.ID)
		e.ranges(v.Ranges)
		e.u64s(v.Floor)
	case Ready:
		e.u32(v.Epoch)
		e.u64(v.ID)
		e.i64(v.StampNanos)
		e.u64s(v.Above)
	case Part:
		e.u32(v.Epoch)
		e.u64(v.ID)
		e.u32(v.Number)
		e.i64(v.StampNanos)
		e.bool(v.Last)
		e.u64s(v.Upto)
		e.u32(v.Records)
		e.bytes(v.Payload)
	case PartAck:
		e.u32(v.Epoch)
		e.u64(v.ID)
		e.u32(v.Number)
		e.i64(v.StampNanos)
	}
}

// DecodeMessage reads a message. Its payload lies in b.
func DecodeMessage(b []byte) (Message, error) {
	d := decoder{b: b}
	m := d.message(messageKind(d.u8()))
	if err := d.end(); err != nil || m == nil {
		return nil, ErrDecode
	}
	return m, nil
}

func (d *decoder) message(kind messageKind) Message {
	switch kind {
	case kindBeat:
		return Beat{d.u32()}
	case kindGrantAsk:
		return GrantAsk{d.u32(), d.i64()}
	case kindGrant:
		return Grant{d.u32(), d.i64()}
	case kindRingNews:
		return RingNews{d.record()}
	case kindRedo:
		return Redo{d.u32()}
	case kindReport:
		return d.report()
	}
	return d.stream(kind)
}

func (d *decoder) report() Message {
	v := Report{
		From: d.u64(), Life: d.u64(), Number: d.u64(), Epoch: d.u32(),
		Accused: d.accusations(), Wish: Wish(d.u8()), Warm: d.bool(),
	}
	d.bad = d.bad || v.Wish > WishResign
	return v
}

func (d *decoder) stream(kind messageKind) Message {
	switch kind {
	case kindOpen:
		return Open{d.u32(), d.u64(), d.spans()}
	case kindResume:
		return Resume{d.u32(), d.u64(), d.u64s(), d.ranges(), d.u32(), d.bool()}
	case kindStart:
		return Start{d.u32(), d.u64(), d.u64s(), d.ranges(), d.bool()}
	case kindBatch:
		return Batch{d.u32(), d.u64(), d.u16(), d.u64(), d.u64(), d.u32(), d.bytes()}
	case kindHints:
		return Hints{d.u32(), d.u16(), d.u32(), d.bytes()}
	case kindAck:
		return Ack{d.u32(), d.u64(), d.u16(), d.u64()}
	case kindRelease:
		return Release{d.u32(), d.u64s()}
	case kindBegin:
		return Begin{d.u32(), d.u64(), d.ranges(), d.u64s()}
	case kindReady:
		return Ready{d.u32(), d.u64(), d.i64(), d.u64s()}
	case kindPart:
		return Part{d.u32(), d.u64(), d.u32(), d.i64(), d.bool(), d.u64s(), d.u32(), d.bytes()}
	case kindPartAck:
		return PartAck{d.u32(), d.u64(), d.u32(), d.i64()}
	}
	return nil
}
