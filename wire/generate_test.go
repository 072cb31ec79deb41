package wire

import (
	"math/rand/v2"

	"gannet/checksum"

	"pgregory.net/rapid"
)

// Generators of valid operations and datagrams, for the property tests.

func drawBytes(t *rapid.T, label string, minBytes, maxBytes int) []byte {
	b := make([]byte, rapid.IntRange(minBytes, maxBytes).Draw(t, label+" length"))
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, label+" seed"), 0))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

var anyOp = rapid.Custom(func(t *rapid.T) Op {
	code := Opcode(rapid.IntRange(int(Get), int(Ring)).Draw(t, "opcode"))
	rule := opRules[code]
	op := Op{Code: code, Flags: OpFlags(rapid.Uint8().Draw(t, "flags")) & rule.flags, Key: []byte{}, Value: []byte{}}
	if rule.key {
		op.Key = drawBytes(t, "key", 1, MaxKeyBytes)
	}
	if rule.ttl {
		op.TTLSeconds = rapid.Uint32Range(0, MaxTTLSeconds).Draw(t, "ttl")
		op.SoftSeconds = rapid.Uint32Range(0, max(op.TTLSeconds, 1)-1).Draw(t, "soft ttl")
	}
	if rule.arg {
		op.Arg = rapid.Uint64().Draw(t, "arg")
	}
	if rule.value {
		op.Value = drawBytes(t, "value", 0, 2500)
	}
	if code == Hello && len(op.Value) < MinHelloPadBytes {
		op.Value = make([]byte, MinHelloPadBytes)
	}
	if op.Flags&OpSegment != 0 {
		op.OffsetBytes = rapid.Uint32Range(0, 1000).Draw(t, "unit") * SegmentBytes
		op.Transfer = rapid.Uint64().Draw(t, "transfer")
		op.TotalBytes = op.OffsetBytes + uint32(len(op.Value))
		if code != Get && len(op.Value) == 0 {
			op.Value, op.TotalBytes = make([]byte, SegmentBytes), op.OffsetBytes+5000
		}
	}
	return op
})

var anyRequestHeader = rapid.Custom(func(t *rapid.T) RequestHeader {
	h := RequestHeader{
		Shard:             rapid.Uint16().Draw(t, "shard"),
		KeyHash:           rapid.Uint64().Draw(t, "key hash"),
		RequestID:         rapid.Uint64().Draw(t, "request id"),
		SessionID:         rapid.Uint64().Draw(t, "session id"),
		Epoch:             rapid.Uint32Range(0, MaxEpoch).Draw(t, "epoch"),
		BudgetMicros:      rapid.Uint32().Draw(t, "budget"),
		Cookie:            rapid.Uint64().Draw(t, "cookie"),
		MinVersion:        Version(rapid.Uint64().Draw(t, "minimum version")),
		GrantOffsetMicros: rapid.Uint32().Draw(t, "grant offset"),
		GrantRateKbit:     rapid.Uint32().Draw(t, "grant rate"),
		ExpectedBytes:     rapid.Uint32().Draw(t, "expected"),
		FanOut:            rapid.Uint16().Draw(t, "fan-out"),
		MaxReplyBytes:     rapid.Uint16Range(MinReplyRoomBytes, 65535).Draw(t, "room"),
	}
	if rapid.Bool().Draw(t, "stages") {
		h.Flags |= FlagStages
	}
	return h
})

// anyOps draws operations that may stand in one datagram.
var anyOps = rapid.Custom(func(t *rapid.T) []Op {
	ops := rapid.SliceOfN(anyOp, 1, 20).Draw(t, "operations")
	for i := range ops {
		if opRules[ops[i].Code].alone {
			ops = ops[i : i+1]
			break
		}
	}
	for i := range ops {
		ops[i].Index = i
	}
	return ops
})

var anyReplyOp = rapid.Custom(func(t *rapid.T) ReplyOp {
	op := ReplyOp{
		Code:          Opcode(rapid.IntRange(int(Get), int(Ring)).Draw(t, "opcode")),
		Status:        Status(rapid.IntRange(0, StatusCount-1).Draw(t, "status")),
		Flags:         ReplyFlags(rapid.Uint16().Draw(t, "flags")) & knownReplyFlags,
		Version:       Version(rapid.Uint64().Draw(t, "version")),
		TTLSeconds:    rapid.Uint32().Draw(t, "ttl"),
		AgeSeconds:    rapid.Uint32().Draw(t, "age"),
		L1GrantMillis: rapid.Uint16().Draw(t, "l1"),
		Index:         rapid.Uint16Range(0, 254).Draw(t, "index"),
		Token:         rapid.Uint64().Draw(t, "token"),
		Value:         drawBytes(t, "value", 0, 3000),
	}
	if len(op.Value) > SegmentBytes && rapid.Bool().Draw(t, "whole units") {
		op.Value = op.Value[:len(op.Value)/SegmentBytes*SegmentBytes]
	}
	op.CRC = checksum.CRC(op.Value)
	op.TotalBytes = uint32(len(op.Value))
	if op.Flags&ReplySegment == 0 {
		op.Flags &^= ReplyMore
		return op
	}
	op.OffsetBytes = rapid.Uint32Range(0, 1000).Draw(t, "unit") * SegmentBytes
	op.TotalBytes += op.OffsetBytes
	if len(op.Value)%SegmentBytes == 0 {
		op.TotalBytes += rapid.Uint32Range(0, 5000).Draw(t, "rest")
	}
	return op
})

var anyReplyHeader = rapid.Custom(func(t *rapid.T) ReplyHeader {
	h := ReplyHeader{
		Flags:     FlagReply,
		Shard:     rapid.Uint16().Draw(t, "shard"),
		KeyHash:   rapid.Uint64().Draw(t, "key hash"),
		RequestID: rapid.Uint64().Draw(t, "request id"),
		SessionID: rapid.Uint64().Draw(t, "session id"),
		Epoch:     rapid.Uint32Range(0, MaxEpoch).Draw(t, "epoch"),
		Load:      rapid.Uint16().Draw(t, "load"),
		RxQueue:   rapid.Uint16().Draw(t, "rx queue"),
	}
	if rapid.Bool().Draw(t, "stages") {
		h.Flags |= FlagStages
		h.Stages = Stages{rapid.Uint64().Draw(t, "received"), rapid.Uint64().Draw(t, "served"), rapid.Uint64().Draw(t, "sent")}
	}
	return h
})

func buildRequest(h *RequestHeader, ops []Op) []byte {
	b := AppendRequest(nil, h)
	for i := range ops {
		b = AppendOp(b, 0, &ops[i])
	}
	return b
}

func buildReply(h *ReplyHeader, ops []ReplyOp) []byte {
	buf := make([]byte, MaxDatagramBytes)
	for i := range buf {
		buf[i] = 0xEE // what stood in the frame before must not shine through
	}
	var w ReplyWriter
	w.Begin(buf, h, false)
	for i := range ops {
		if !w.Append(&ops[i]) {
			panic("the reply does not fit in a datagram")
		}
	}
	return buf[:w.Finish()]
}
