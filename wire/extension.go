package wire

// ExtensionType names an extension of the header.
type ExtensionType uint16

const (
	// ExtensionStages carries three times in a reply to a request with FlagStages: received, served, sent.
	ExtensionStages ExtensionType = 1
	// ExtensionMustUnderstand is the bit of the types that a receiver may not skip.
	ExtensionMustUnderstand ExtensionType = 1 << 15
)

// StagesBytes is the length of the extension with the stage times.
const StagesBytes = 32

// Offsets in an extension.
const (
	ExtensionOffsetType   = 0
	ExtensionOffsetLength = 2 // bytes, all included
	ExtensionOffsetInline = 4
)

// Extension is one extension of a header. Data is a multiple of AlignBytes long.
type Extension struct {
	Type   ExtensionType
	Inline uint32
	Data   []byte
}

// Stages are the times at which a request passed the stations of its server, in nanoseconds of that server's boot clock.
type Stages struct {
	ReceivedNanos uint64
	ServedNanos   uint64
	SentNanos     uint64
}

// nextExtension splits the first extension off b, which is not empty.
func nextExtension(b []byte) (e Extension, rest []byte, ok bool) {
	if len(b) < ExtensionHeaderBytes {
		return e, nil, false
	}
	length := int(le.Uint16(b[ExtensionOffsetLength:]))
	if length < ExtensionHeaderBytes || length%AlignBytes != 0 || length > len(b) {
		return e, nil, false
	}
	e.Type = ExtensionType(le.Uint16(b[ExtensionOffsetType:]))
	e.Inline = le.Uint32(b[ExtensionOffsetInline:])
	e.Data = b[ExtensionHeaderBytes:length:length]
	return e, b[length:], true
}

// checkRequestExtensions: version 1 defines none for requests, so those that need not be understood are skipped.
func checkRequestExtensions(b []byte) Reason {
	for len(b) != 0 {
		e, rest, ok := nextExtension(b)
		if !ok {
			return ReasonExtension
		}
		if e.Type&ExtensionMustUnderstand != 0 {
			return ReasonMustUnderstand
		}
		b = rest
	}
	return ReasonNone
}

// readReplyExtensions fills r.Stages and skips what is unknown.
func (r *Reply) readReplyExtensions(b []byte) Reason {
	found := false
	for len(b) != 0 {
		e, rest, ok := nextExtension(b)
		if !ok {
			return ReasonExtension
		}
		if e.Type&ExtensionMustUnderstand != 0 {
			return ReasonMustUnderstand
		}
		if e.Type == ExtensionStages {
			if found || len(e.Data) != StagesBytes-ExtensionHeaderBytes || e.Inline != 0 {
				return ReasonExtension
			}
			found = true
			r.Stages = Stages{le.Uint64(e.Data), le.Uint64(e.Data[8:]), le.Uint64(e.Data[16:])}
		}
		b = rest
	}
	if found != (r.Flags&FlagStages != 0) {
		return ReasonStages
	}
	return ReasonNone
}
