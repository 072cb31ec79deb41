package wire

// HelloReply is the value of the reply to a HELLO.
type HelloReply struct {
	Shards          uint16
	BasePort        uint16
	MaxValueBytes   uint32
	MaxPayloadBytes uint32 // the longest datagram the node takes
	ServerFlags     uint32 // none defined: 0, receivers ignore them
	NodeID          uint64
	BootID          uint64 // another one: the node's memory and cookies are new
	NowNanos        uint64 // its boot clock
}

// Put writes the value into b, which holds at least HelloReplyBytes.
func (h *HelloReply) Put(b []byte) {
	b = b[:HelloReplyBytes]
	le.PutUint16(b[0:], h.Shards)
	le.PutUint16(b[2:], h.BasePort)
	le.PutUint32(b[4:], h.MaxValueBytes)
	le.PutUint32(b[8:], h.MaxPayloadBytes)
	le.PutUint32(b[12:], h.ServerFlags)
	le.PutUint64(b[16:], h.NodeID)
	le.PutUint64(b[24:], h.BootID)
	le.PutUint64(b[32:], h.NowNanos)
	le.PutUint64(b[40:], 0)
}

// ParseHelloReply reads the value of the reply to a HELLO. Longer ones, of later servers, are read as far as known.
func ParseHelloReply(b []byte) (h HelloReply, ok bool) {
	if len(b) < HelloReplyBytes {
		return h, false
	}
	return HelloReply{
		Shards:          le.Uint16(b[0:]),
		BasePort:        le.Uint16(b[2:]),
		MaxValueBytes:   le.Uint32(b[4:]),
		MaxPayloadBytes: le.Uint32(b[8:]),
		ServerFlags:     le.Uint32(b[12:]),
		NodeID:          le.Uint64(b[16:]),
		BootID:          le.Uint64(b[24:]),
		NowNanos:        le.Uint64(b[32:]),
	}, true
}
