package wirefuzz

import (
	"encoding/binary"
	"math/rand/v2"

	"gannet/wire"
)

// maxPayloadBytes keeps all datagrams whole on an MTU of 1500, IPv6 included.
const maxPayloadBytes = 1452

// SentinelKey is the key that broken requests are aimed at.
const SentinelKey = "gannet:wirefuzz:sentinel"

// Generator makes broken datagrams, always the same for a seed. It is not safe for use by several goroutines.
type Generator struct {
	Cookie uint64 // of the source; requests carry it
	Shard  uint16

	random  *rand.Rand
	turn    int // next breaker
	request wire.Request
}

// NewGenerator returns a generator without a cookie.
func NewGenerator(seed uint64) *Generator {
	return &Generator{random: rand.New(rand.NewPCG(seed, 0x6E47))}
}

// Garbage appends random bytes to dst[:0], from nothing to a full datagram; three in four begin like a request.
func (g *Generator) Garbage(dst []byte) ([]byte, wire.Reason) {
	for {
		b := dst[:g.random.IntN(maxPayloadBytes+1)]
		for i := 0; i+8 <= len(b); i += 8 {
			binary.LittleEndian.PutUint64(b[i:], g.random.Uint64())
		}
		if len(b) >= wire.MinRequestBytes {
			g.dress(b)
		}
		if reason := wire.ParseRequest(b, &g.request); reason != wire.ReasonNone {
			return b, reason
		}
	}
}

// dress gives garbage more and more of a good header, so that it gets deeper.
func (g *Generator) dress(b []byte) {
	depth := g.random.IntN(4)
	if depth >= 1 {
		binary.LittleEndian.PutUint16(b[wire.OffsetMagic:], wire.Magic)
		b[wire.OffsetVersion] = wire.FormatVersion
	}
	if depth >= 2 {
		b[wire.OffsetFlags] &= byte(wire.FlagStages)
		clear(b[wire.OffsetPacketNumber:wire.OffsetEpoch])
	}
	if depth >= 3 {
		b[wire.OffsetHeaderWords] = wire.RequestHeaderBytes / wire.AlignBytes
		b[wire.OffsetEpoch+3] = 0
		b[wire.OffsetMaxReplyBytes+1] |= 0x80
		binary.LittleEndian.PutUint64(b[wire.OffsetCookie:], g.Cookie)
	}
}

// Mutated overwrites dst with a good request of which one thing is broken. Opcodes and ways of breaking take turns.
func (g *Generator) Mutated(dst []byte, requestID uint64) ([]byte, wire.Reason) {
	for {
		g.turn++
		breaker := breakers[g.turn%len(breakers)]
		b := g.good(dst, requestID, wire.Opcode(1+g.turn/len(breakers)%(wire.OpcodeCount-1)), g.random.IntN(8) == 0)
		b = breaker(g, b)
		if len(b) > maxPayloadBytes {
			b = b[:maxPayloadBytes]
		}
		if reason := wire.ParseRequest(b, &g.request); reason != wire.ReasonNone {
			return b, reason
		}
	}
}

// Good overwrites dst with a well-formed request, of any opcode.
func (g *Generator) Good(dst []byte, requestID uint64) []byte {
	code := wire.Opcode(1 + g.random.IntN(wire.OpcodeCount-1))
	b := g.good(dst, requestID, code, g.random.IntN(4) == 0)
	if g.random.IntN(2) == 0 {
		b[wire.OffsetFlags] |= byte(wire.FlagStages)
	}
	return b
}

// good builds a request for one operation, or, where several may stand together, for a few.
func (g *Generator) good(dst []byte, requestID uint64, code wire.Opcode, several bool) []byte {
	key := []byte(SentinelKey)
	header := wire.RequestHeader{
		Shard: g.Shard, KeyHash: wire.KeyHash(key), RequestID: requestID, SessionID: 0x66757A7A, Cookie: g.Cookie,
	}
	b := wire.AppendRequest(dst[:0], &header)
	if g.random.IntN(8) == 0 {
		b = wire.AppendExtension(b, 0, wire.Extension{Type: 0x0777, Data: make([]byte, 8)})
	}
	op := g.op(code, key)
	b = wire.AppendOp(b, 0, &op)
	for several && code.HasKey() && len(b) < 800 && g.random.IntN(8) != 0 {
		op = g.op(wire.Get, key)
		b = wire.AppendOp(b, 0, &op)
	}
	return b
}

func (g *Generator) op(code wire.Opcode, key []byte) wire.Op {
	op := wire.Op{Code: code}
	if code.HasKey() {
		op.Key = key
	}
	switch code {
	case wire.Put, wire.Add, wire.Replace, wire.CAS:
		op.Value = make([]byte, g.random.IntN(300))
		op.TTLSeconds = uint32(g.random.IntN(1000))
		if g.random.IntN(4) == 0 {
			op.Flags, op.TotalBytes, op.Transfer = wire.OpSegment, 3000, g.random.Uint64()
			op.Value = make([]byte, wire.SegmentBytes)
		}
	case wire.Touch:
		op.TTLSeconds = 1
	case wire.Get:
		if g.random.IntN(4) == 0 {
			op.Flags, op.TotalBytes = wire.OpSegment, uint32(g.random.IntN(5000))
		}
	case wire.Hello:
		op.Value = make([]byte, wire.MinHelloPadBytes)
	}
	return op
}
