package wire

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// The slow twin: the format read as docs/protocol.md says it, field by field through encoding/binary, with every broken rule
// collected. It shares the enums and nothing else with the parser it judges.

type slowPrefix struct {
	Magic        uint16
	Version      uint8
	Flags        uint8
	Shard        uint16
	OpCount      uint8
	HeaderWords  uint8
	KeyHash      uint64
	RequestID    uint64
	SessionID    uint64
	PacketNumber uint64
	Tag          [2]uint64
	Epoch        uint32
}

type slowRequestHeader struct {
	Prefix       slowPrefix
	BudgetMicros uint32
	Cookie       uint64
	MinVersion   uint64
	GrantOffset  uint32
	GrantRate    uint32
	Expected     uint32
	FanOut       uint16
	MaxReply     uint16
}

type slowReplyHeader struct {
	Prefix  slowPrefix
	Load    uint16
	RxQueue uint16
}

type slowOp struct {
	Opcode   uint8
	Flags    uint8
	KeyLen   uint8
	Reserved uint8
	ValueLen uint32
	TTL      uint32
	Soft     uint32
	Arg      uint64
}

type slowSegment struct {
	Total    uint32
	Offset   uint32
	Transfer uint64
}

type slowReplyOp struct {
	Opcode   uint8
	Status   uint8
	Flags    uint16
	ValueLen uint32
	Version  uint64
	TTL      uint32
	Age      uint32
	CRC      uint32
	L1       uint16
	Index    uint16
	Token    uint64
	Total    uint32
	Offset   uint32
}

// cursor reads fixed structs off the front of a datagram.
type cursor struct {
	b    []byte
	at   int
	fail bool
}

func (c *cursor) fixed(into any) bool {
	size := binary.Size(into)
	if c.at+size > len(c.b) {
		c.fail = true
		return false
	}
	if _, err := binary.Decode(c.b[c.at:], binary.LittleEndian, into); err != nil {
		panic(err)
	}
	c.at += size
	return true
}

func (c *cursor) take(n int) ([]byte, bool) {
	if n > len(c.b)-c.at {
		c.fail = true
		return nil, false
	}
	b := c.b[c.at : c.at+n]
	c.at += n
	return b, true
}

// pad reads up to the next multiple of 8 and reports whether it is there and zero.
func (c *cursor) pad() bool {
	good := true
	for ; c.at%8 != 0; c.at++ {
		if c.at == len(c.b) {
			return false
		}
		good = good && c.b[c.at] == 0
	}
	return good
}

type slowResult struct {
	broken []Reason
	header RequestHeader
	reply  ReplyHeader
	ops    []Op
	reops  []ReplyOp
}

func (s *slowResult) is(bad bool, reason Reason) bool {
	if bad {
		s.broken = append(s.broken, reason)
	}
	return bad
}

func slowPrefixRules(s *slowResult, p *slowPrefix, b []byte, fixed int, reply bool) {
	s.is(p.Magic != 0x6E47, ReasonMagic)
	s.is(p.Version != 1, ReasonVersion)
	s.is(p.Flags > 15 || p.Flags&6 == 6, ReasonFlags)
	s.is((p.Flags&1 == 1) != reply, ReasonDirection)
	s.is(p.Flags&6 != 0, ReasonSealed)
	s.is(p.PacketNumber != 0 || p.Tag != [2]uint64{}, ReasonPacketNumber)
	s.is(int(p.HeaderWords)*8 < fixed || int(p.HeaderWords)*8 > len(b), ReasonHeaderLength)
	s.is(p.OpCount == 0, ReasonOpCount)
	s.is(p.Epoch >= 1<<24, ReasonEpoch)
}

// slowExtensions returns the data of the extensions it knows, by type.
func slowExtensions(s *slowResult, c *cursor, end int) (stages [][]byte) {
	for c.at < end {
		var head struct {
			Type, Length uint16
			Inline       uint32
		}
		if !c.fixed(&head) || head.Length < 8 || head.Length%8 != 0 || c.at-8+int(head.Length) > end {
			s.is(true, ReasonExtension)
			return stages
		}
		data, _ := c.take(int(head.Length) - 8)
		s.is(head.Type >= 0x8000, ReasonMustUnderstand)
		if head.Type == 1 {
			stages = append(stages, data)
			if head.Inline != 0 {
				stages = append(stages, nil) // makes the extension a bad one
			}
		}
	}
	return stages
}

func slowParseRequest(b []byte) *slowResult {
	s := &slowResult{}
	c := &cursor{b: b}
	var h slowRequestHeader
	if s.is(!c.fixed(&h), ReasonShort) || s.is(len(b) > 65507, ReasonLong) {
		return s
	}
	p := &h.Prefix
	slowPrefixRules(s, p, b, 96, false)
	s.is(h.MaxReply != 0 && h.MaxReply < 64+32+48+1024, ReasonReplyRoom)
	s.header = RequestHeader{
		Flags(p.Flags), p.Shard, p.KeyHash, p.RequestID, p.SessionID, p.Epoch, h.BudgetMicros, h.Cookie, Version(h.MinVersion),
		h.GrantOffset, h.GrantRate, h.Expected, h.FanOut, h.MaxReply,
	}
	if len(s.broken) != 0 {
		return s
	}
	slowExtensions(s, c, int(p.HeaderWords)*8)
	for i := 0; i < int(p.OpCount) && !c.fail && len(s.broken) == 0; i++ {
		slowRequestOp(s, c, i, int(p.OpCount))
	}
	if len(s.broken) == 0 {
		s.is(c.at != len(b), ReasonTrailing)
	}
	return s
}

func slowRequestOp(s *slowResult, c *cursor, index, count int) {
	var o slowOp
	if s.is(!c.fixed(&o), ReasonOpBounds) {
		return
	}
	code := Opcode(o.Opcode)
	if s.is(o.Opcode < 1 || o.Opcode > 12, ReasonOpcode) {
		return
	}
	stores := slices.Contains([]Opcode{Put, Add, Replace, CAS}, code)
	writes := stores || code == Delete || code == Touch || code == Incr
	s.is(o.Flags >= 32 ||
		o.Flags&1 != 0 && !stores && code != Get ||
		o.Flags&(2|8|16) != 0 && code != Get ||
		o.Flags&4 != 0 && !writes, ReasonOpFlags)
	s.is(o.Reserved != 0, ReasonReserved)
	s.is((writes || code == Get) != (o.KeyLen > 0) || o.KeyLen > 250, ReasonKeyLength)
	s.is(o.ValueLen > 0 && !stores && code != Get && code != Ping && code != Hello, ReasonValueUnexpected)
	s.is(o.TTL > 12*30*86400 || o.TTL > 0 && !stores && code != Touch, ReasonTTL)
	s.is(o.Soft > 12*30*86400 || o.Soft > 0 && !stores && code != Touch || o.Soft > 0 && o.TTL > 0 && o.Soft >= o.TTL, ReasonSoftTTL)
	s.is(o.Arg != 0 && !stores && code != Get && code != Incr && code != Ring, ReasonArg)
	s.is(count > 1 && (code == Ping || code == Hello), ReasonNotAlone)
	s.is(code == Hello && o.ValueLen < 40, ReasonHelloShort)
	var g slowSegment
	if o.Flags&1 != 0 {
		if s.is(!c.fixed(&g), ReasonOpBounds) {
			return
		}
		end := int64(g.Offset) + int64(o.ValueLen)
		s.is(g.Offset%1024 != 0 || stores && (o.ValueLen == 0 || end > int64(g.Total) || end%1024 != 0 && end != int64(g.Total)), ReasonSegment)
	}
	key, ok := c.take(int(o.KeyLen))
	if s.is(!ok, ReasonKeyBounds) {
		return
	}
	if c.at%8 != 0 && s.is(c.at+8-c.at%8 > len(c.b), ReasonKeyBounds) {
		return
	}
	s.is(!c.pad(), ReasonPadding)
	value, ok := c.take(int(o.ValueLen))
	if s.is(!ok, ReasonValueBounds) {
		return
	}
	if c.at != len(c.b) {
		s.is(!c.pad(), ReasonPadding)
	}
	s.ops = append(s.ops, Op{code, OpFlags(o.Flags), index, o.TTL, o.Soft, o.Arg, key, value, g.Total, g.Offset, g.Transfer})
}

func slowParseReply(b []byte) *slowResult {
	s := &slowResult{}
	c := &cursor{b: b}
	var h slowReplyHeader
	if s.is(!c.fixed(&h), ReasonShort) || s.is(len(b) > 65507, ReasonLong) {
		return s
	}
	p := &h.Prefix
	slowPrefixRules(s, p, b, 64, true)
	if len(s.broken) != 0 {
		return s
	}
	s.reply = ReplyHeader{
		Flags: Flags(p.Flags), Shard: p.Shard, KeyHash: p.KeyHash, RequestID: p.RequestID, SessionID: p.SessionID, Epoch: p.Epoch,
		Load: h.Load, RxQueue: h.RxQueue,
	}
	stages := slowExtensions(s, c, int(p.HeaderWords)*8)
	s.is((len(stages) != 0) != (p.Flags&8 != 0), ReasonStages)
	s.is(len(stages) > 1 || len(stages) == 1 && len(stages[0]) != 24, ReasonExtension)
	if len(s.broken) == 0 && len(stages) == 1 {
		_ = binary.Read(bytes.NewReader(stages[0]), binary.LittleEndian, &s.reply.Stages)
	}
	for i := 0; i < int(p.OpCount) && !c.fail && len(s.broken) == 0; i++ {
		slowReplyOpRules(s, c)
	}
	if len(s.broken) == 0 {
		s.is(c.at != len(b), ReasonTrailing)
	}
	return s
}

func slowReplyOpRules(s *slowResult, c *cursor) {
	var o slowReplyOp
	if s.is(!c.fixed(&o), ReasonOpBounds) {
		return
	}
	segment := o.Flags&1 != 0
	s.is(o.Flags >= 64 || o.Flags&32 != 0 && !segment, ReasonOpFlags)
	s.is(o.Status > 24, ReasonStatus)
	s.is(o.Opcode > 12 || o.Opcode == 0 && o.Status == 0, ReasonOpcode)
	if segment {
		end := int64(o.Offset) + int64(o.ValueLen)
		s.is(o.Offset%1024 != 0 || end > int64(o.Total) || o.ValueLen > 0 && o.ValueLen%1024 != 0 && end < int64(o.Total), ReasonSegment)
	} else {
		s.is(o.Offset != 0 || o.ValueLen != 0 && o.ValueLen != o.Total, ReasonSegment)
	}
	value, ok := c.take(int(o.ValueLen))
	if s.is(!ok, ReasonValueBounds) {
		return
	}
	if c.at != len(c.b) {
		s.is(!c.pad(), ReasonPadding)
	}
	s.reops = append(s.reops, ReplyOp{
		Opcode(o.Opcode), Status(o.Status), ReplyFlags(o.Flags), Version(o.Version), o.TTL, o.Age, o.CRC, o.L1, o.Index, o.Token,
		o.Total, o.Offset, value,
	})
}
