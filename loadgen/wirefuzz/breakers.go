package wirefuzz

import (
	"encoding/binary"

	"gannet/wire"
)

// breaker breaks a good request in one way. Where that is not possible it leaves the request whole, and the next one gets its turn.
type breaker func(g *Generator, b []byte) []byte

// breakers are in the order of the parser's rules; together they reach every reason a request can be refused for.
var breakers = []breaker{
	cutTo(0, wire.RequestHeaderBytes), // short
	set(wire.OffsetMagic, 0x00, 0x46, 0xFF),
	set(wire.OffsetVersion, 0, 2, 0xFF),
	set(wire.OffsetFlags, byte(wire.FlagReply), byte(wire.FlagReply|wire.FlagStages)),
	set(wire.OffsetFlags, 0x10, 0x80, byte(wire.FlagSealed|wire.FlagAuth)),
	set(wire.OffsetFlags, byte(wire.FlagSealed), byte(wire.FlagAuth)),
	set(wire.OffsetPacketNumber, 1, 0x80),
	set(wire.OffsetTag+9, 1, 0xFF),
	set(wire.OffsetHeaderWords, 0, 8, 11, 0xFF),
	set(wire.OffsetOpCount, 0, 0xFF),
	set(wire.OffsetEpoch+3, 1, 0xFF),
	set(wire.OffsetMaxReplyBytes, 1, 112),
	extension(5, 0), extension(5, 4), extension(5, 12), extension(5, 0xFFF8),
	extension(0x8000, 8), extension(0xFFFF, 8),
	cutTo(wire.RequestHeaderBytes, wire.MinRequestBytes),
	more(1), more(200),
	inOp(wire.OpOffsetOpcode, 0, 12, 0x80, 0xFF),
	inOp(wire.OpOffsetFlags, 0x20, 0xFF, byte(wire.OpLease|wire.OpAckReplica)),
	inOp(wire.OpOffsetReserved, 1, 0xFF),
	inOp(wire.OpOffsetKeyBytes, 0, 1, 251, 255),
	inOp(wire.OpOffsetKeyBytes, 250),
	inOp(wire.OpOffsetValueBytes, 1, 0xFF),
	inOp(wire.OpOffsetValueBytes+2, 1, 0xFF),
	inOp(wire.OpOffsetValueBytes+3, 0x7F, 0xFF),
	inOp(wire.OpOffsetTTLSeconds+3, 2, 0xFF),
	inOp(wire.OpOffsetSoftSeconds+3, 1, 2, 0xFF),
	inOp(wire.OpOffsetArg, 1, 0xFF),
	segment(8, 5000), segment(1024, 1), segment(0xFFFFFC00, 0xFFFFFFFF),
	padding,
	lengthen(8), lengthen(1),
	cutTail,
	company(wire.Ping), company(wire.Hello),
	shortHello,
	flipBits, flipBits, flipBits,
	dropWord, doubleWord,
}

// set overwrites one byte with one of the given.
func set(at int, values ...byte) breaker {
	return func(g *Generator, b []byte) []byte {
		b[at] = values[g.random.IntN(len(values))]
		return b
	}
}

// inOp does so in the first operation.
func inOp(at int, values ...byte) breaker {
	return func(g *Generator, b []byte) []byte {
		b[opAt(b)+at] = values[g.random.IntN(len(values))]
		return b
	}
}

func opAt(b []byte) int {
	return int(b[wire.OffsetHeaderWords]) * wire.AlignBytes
}

// cutTo leaves at least from and less than to bytes.
func cutTo(from, to int) breaker {
	return func(g *Generator, b []byte) []byte {
		return b[:from+g.random.IntN(to-from)]
	}
}

// more counts operations that are not there.
func more(count byte) breaker {
	return func(_ *Generator, b []byte) []byte {
		b[wire.OffsetOpCount] += count
		return b
	}
}

// extension puts one in front of the operations, with a stated length of its own.
func extension(kind wire.ExtensionType, lengthBytes uint16) breaker {
	return func(_ *Generator, b []byte) []byte {
		ops := append([]byte(nil), b[opAt(b):]...)
		b = wire.AppendExtension(b[:wire.RequestHeaderBytes], 0, wire.Extension{Type: kind})
		binary.LittleEndian.PutUint16(b[wire.RequestHeaderBytes+wire.ExtensionOffsetLength:], lengthBytes)
		return append(b, ops...)
	}
}

// segment overwrites the place in the whole, in operations that name one.
func segment(offsetBytes, totalBytes uint32) breaker {
	return func(_ *Generator, b []byte) []byte {
		at := opAt(b)
		if wire.OpFlags(b[at+wire.OpOffsetFlags])&wire.OpSegment != 0 {
			binary.LittleEndian.PutUint32(b[at+wire.OpOffsetOffsetBytes:], offsetBytes)
			binary.LittleEndian.PutUint32(b[at+wire.OpOffsetTotalBytes:], totalBytes)
		}
		return b
	}
}

// padding writes behind the last value, or behind a key.
func padding(g *Generator, b []byte) []byte {
	b[len(b)-1] = byte(1 + g.random.IntN(255))
	return b
}

func lengthen(bytes int) breaker {
	return func(_ *Generator, b []byte) []byte {
		return append(b, make([]byte, bytes)...)
	}
}

func cutTail(g *Generator, b []byte) []byte {
	return b[:len(b)-1-g.random.IntN(min(32, len(b)))]
}

// company puts an operation that must be alone behind the others.
func company(code wire.Opcode) breaker {
	return func(g *Generator, b []byte) []byte {
		op := g.op(code, nil)
		return wire.AppendOp(b, 0, &op)
	}
}

// shortHello is one that is shorter than its reply.
func shortHello(g *Generator, b []byte) []byte {
	b = b[:wire.RequestHeaderBytes]
	b[wire.OffsetOpCount], b[wire.OffsetHeaderWords] = 0, wire.RequestHeaderBytes/wire.AlignBytes
	return wire.AppendOp(b, 0, &wire.Op{Code: wire.Hello, Value: make([]byte, g.random.IntN(wire.MinHelloPadBytes))})
}

func flipBits(g *Generator, b []byte) []byte {
	for range 1 + g.random.IntN(6) {
		b[g.random.IntN(len(b))] ^= 1 << g.random.IntN(8)
	}
	return b
}

func dropWord(g *Generator, b []byte) []byte {
	at := g.random.IntN(len(b)/wire.AlignBytes) * wire.AlignBytes
	return append(b[:at], b[at+wire.AlignBytes:]...)
}

func doubleWord(g *Generator, b []byte) []byte {
	at := g.random.IntN(len(b)/wire.AlignBytes) * wire.AlignBytes
	b = append(b, make([]byte, wire.AlignBytes)...)
	copy(b[at+wire.AlignBytes:], b[at:])
	return b
}
