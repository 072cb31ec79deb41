package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"gannet/checksum"
)

// The vectors in testdata/vectors are for those who write the protocol in another language. They are written from the cases below by
//
//	go test ./wire -run Vectors -update
//
// and read back by the tests, which go through them in both directions: bytes to fields, and fields to the same bytes.

var update = flag.Bool("update", false, "write testdata/vectors and the fuzzing seeds anew")

// number is a 64-bit integer written as "0x…": JSON's own numbers end at 2^53.
type number uint64

func (n number) MarshalText() ([]byte, error) {
	return []byte("0x" + strconv.FormatUint(uint64(n), 16)), nil
}

func (n *number) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(string(b), 0, 64)
	*n = number(v)
	return err
}

// octets are written as hexadecimal digits.
type octets []byte

func (o octets) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(o)), nil }

func (o *octets) UnmarshalText(b []byte) (err error) {
	*o, err = hex.DecodeString(string(b))
	return err
}

type requestVector struct {
	Name              string     `json:"name"`
	Flags             uint8      `json:"flags"`
	Shard             uint16     `json:"shard"`
	KeyHash           number     `json:"key_hash"`
	RequestID         number     `json:"request_id"`
	SessionID         number     `json:"session_id"`
	Epoch             uint32     `json:"epoch"`
	BudgetMicros      uint32     `json:"budget_us"`
	Cookie            number     `json:"cookie"`
	MinVersion        number     `json:"min_version"`
	GrantOffsetMicros uint32     `json:"grant_offset_us"`
	GrantRateKbit     uint32     `json:"grant_rate_kbit"`
	ExpectedBytes     uint32     `json:"expected_bytes"`
	FanOut            uint16     `json:"fan_out"`
	MaxReplyBytes     uint16     `json:"max_reply_bytes"`
	Extensions        []extVec   `json:"extensions,omitempty"`
	Ops               []opVector `json:"ops"`
	Datagram          octets     `json:"datagram"`
}

type extVec struct {
	Type   uint16 `json:"type"`
	Inline uint32 `json:"inline"`
	Data   octets `json:"data"`
}

type opVector struct {
	Opcode      uint8  `json:"opcode"`
	Flags       uint8  `json:"flags"`
	TTLSeconds  uint32 `json:"ttl_s"`
	SoftSeconds uint32 `json:"soft_ttl_s"`
	Arg         number `json:"arg"`
	Key         octets `json:"key"`
	Value       octets `json:"value"`
	TotalBytes  uint32 `json:"total_bytes,omitempty"`
	OffsetBytes uint32 `json:"offset_bytes,omitempty"`
	Transfer    number `json:"transfer,omitempty"`
}

type replyVector struct {
	Name      string          `json:"name"`
	Flags     uint8           `json:"flags"`
	Shard     uint16          `json:"shard"`
	KeyHash   number          `json:"key_hash"`
	RequestID number          `json:"request_id"`
	SessionID number          `json:"session_id"`
	Epoch     uint32          `json:"epoch"`
	Load      uint16          `json:"load"`
	RxQueue   uint16          `json:"rx_queue"`
	Stages    *stagesVector   `json:"stages,omitempty"`
	Ops       []replyOpVector `json:"ops"`
	Datagram  octets          `json:"datagram"`
}

type stagesVector struct {
	Received number `json:"received_ns"`
	Served   number `json:"served_ns"`
	Sent     number `json:"sent_ns"`
}

type replyOpVector struct {
	Opcode        uint8  `json:"opcode"`
	Status        uint8  `json:"status"`
	Flags         uint16 `json:"flags"`
	Version       number `json:"version"`
	TTLSeconds    uint32 `json:"ttl_s"`
	AgeSeconds    uint32 `json:"age_s"`
	CRC           uint32 `json:"crc32c"`
	L1GrantMillis uint16 `json:"l1_grant_ms"`
	Index         uint16 `json:"index"`
	Token         number `json:"token"`
	TotalBytes    uint32 `json:"total_bytes"`
	OffsetBytes   uint32 `json:"offset_bytes"`
	Value         octets `json:"value"`
}

type malformedVector struct {
	Name      string `json:"name"`
	Direction string `json:"direction"` // what it is sent as: "request" or "reply"
	Reason    string `json:"reason"`
	Datagram  octets `json:"datagram"`
}

type hashVector struct {
	Key     octets      `json:"key"`
	KeyHash number      `json:"key_hash"`
	CRC     uint32      `json:"crc32c"`
	Shards  map[int]int `json:"shard_of_shards"` // number of shards → shard
}

func vectorHeader(key string) RequestHeader {
	return RequestHeader{
		Shard: 2, RequestID: 0x1122334455667788, SessionID: 0xA1A2A3A4A5A6A7A8, Epoch: 0x010203, Cookie: 0xC0C1C2C3C4C5C6C7,
		KeyHash: KeyHash([]byte(key)),
	}
}

func op(code Opcode, key string, value []byte) Op {
	o := Op{Code: code, Value: value}
	if key != "" {
		o.Key = []byte(key)
	}
	return o
}

func counting(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

type requestCase struct {
	name       string
	header     RequestHeader
	extensions []Extension
	ops        []Op
}

func requestCases() []requestCase {
	one := func(name string, o Op) requestCase {
		return requestCase{name: name, header: vectorHeader(string(o.Key)), ops: []Op{o}}
	}
	get, put, incr := op(Get, "user:42", nil), op(Put, "user:42", []byte("hello")), op(Incr, "counter", nil)
	get.Flags = OpLease | OpStaleOK
	put.TTLSeconds, put.SoftSeconds, put.Flags, put.Arg = 3600, 3000, OpAckReplica, 0x77
	incr.Arg = 0xFFFFFFFFFFFFFFFB // minus 5
	cas := op(CAS, "user:42", []byte("new"))
	cas.Arg = uint64(MakeVersion(3, 9))
	touch := op(Touch, "user:42", nil)
	touch.TTLSeconds = 60
	part, want := op(Put, "film", counting(SegmentBytes)), op(Get, "film", nil)
	part.Flags, part.TotalBytes, part.OffsetBytes, part.Transfer, part.TTLSeconds = OpSegment, 5000, 2048, 0xFEED, 60
	want.Flags, want.TotalBytes, want.OffsetBytes, want.Transfer = OpSegment, 2048, 1024, uint64(MakeVersion(3, 9))
	ringOp := op(Ring, "", nil)
	ringOp.Arg = SegmentBytes
	meta := op(Get, "user:42", nil)
	meta.Flags = OpNoValue
	full := vectorHeader("user:42")
	full.Flags, full.BudgetMicros, full.MinVersion, full.GrantOffsetMicros, full.GrantRateKbit = FlagStages, 2500, MakeVersion(3, 4), 150, 8_000_000
	full.ExpectedBytes, full.FanOut, full.MaxReplyBytes = 123456, 20, 8972
	return []requestCase{
		one("get", get),
		one("get_metadata_only", meta),
		one("get_padded_to_the_size_of_its_reply", op(Get, "hot", make([]byte, 96))),
		one("get_segments", want),
		one("put", put),
		one("put_empty_value", op(Put, "k", nil)),
		one("put_segment", part),
		one("delete", op(Delete, "user:42", nil)),
		one("touch", touch),
		one("add", op(Add, "12345678", []byte("8 bytes!"))),
		one("replace", op(Replace, "user:42", []byte("x"))),
		one("cas", cas),
		one("incr_by_minus_5", incr),
		one("stats", op(Stats, "", nil)),
		one("ring", ringOp),
		{name: "ping", header: RequestHeader{RequestID: 1}, ops: []Op{op(Ping, "", nil)}},
		{name: "hello", header: RequestHeader{RequestID: 1, SessionID: 2}, ops: []Op{op(Hello, "", make([]byte, MinHelloPadBytes))}},
		{name: "every_header_field", header: full, ops: []Op{op(Get, "user:42", nil)}},
		{name: "multi_get_and_mixed", header: vectorHeader("a"), ops: []Op{op(Get, "a", nil), op(Get, "bb", nil), put, op(Delete, "12345678", nil)}},
		{
			name: "unknown_extension_is_skipped", header: vectorHeader("a"), ops: []Op{op(Get, "a", nil)},
			extensions: []Extension{{Type: 0x1234, Inline: 7, Data: counting(16)}, {Type: 0x0002, Data: []byte{}}},
		},
	}
}

func (c *requestCase) build() []byte {
	b := AppendRequest(nil, &c.header)
	for _, e := range c.extensions {
		b = AppendExtension(b, 0, e)
	}
	for i := range c.ops {
		b = AppendOp(b, 0, &c.ops[i])
	}
	return b
}

func (c *requestCase) vector() requestVector {
	h := &c.header
	v := requestVector{
		c.name, uint8(h.Flags), h.Shard, number(h.KeyHash), number(h.RequestID), number(h.SessionID), h.Epoch, h.BudgetMicros,
		number(h.Cookie), number(h.MinVersion), h.GrantOffsetMicros, h.GrantRateKbit, h.ExpectedBytes, h.FanOut, h.MaxReplyBytes,
		nil, nil, c.build(),
	}
	for _, e := range c.extensions {
		v.Extensions = append(v.Extensions, extVec{uint16(e.Type), e.Inline, e.Data})
	}
	for _, o := range c.ops {
		v.Ops = append(v.Ops, opVector{
			uint8(o.Code), uint8(o.Flags), o.TTLSeconds, o.SoftSeconds, number(o.Arg), o.Key, o.Value, o.TotalBytes, o.OffsetBytes,
			number(o.Transfer),
		})
	}
	return v
}

// fields turns a vector back into what the codec takes.
func (v *requestVector) fields() requestCase {
	c := requestCase{name: v.Name, header: RequestHeader{
		Flags(v.Flags), v.Shard, uint64(v.KeyHash), uint64(v.RequestID), uint64(v.SessionID), v.Epoch, v.BudgetMicros, uint64(v.Cookie),
		Version(v.MinVersion), v.GrantOffsetMicros, v.GrantRateKbit, v.ExpectedBytes, v.FanOut, v.MaxReplyBytes,
	}}
	for _, e := range v.Extensions {
		c.extensions = append(c.extensions, Extension{ExtensionType(e.Type), e.Inline, e.Data})
	}
	for i, o := range v.Ops {
		c.ops = append(c.ops, Op{
			Opcode(o.Opcode), OpFlags(o.Flags), i, o.TTLSeconds, o.SoftSeconds, uint64(o.Arg), o.Key, o.Value, o.TotalBytes, o.OffsetBytes,
			uint64(o.Transfer),
		})
	}
	return c
}

type replyCase struct {
	name   string
	header ReplyHeader
	ops    []ReplyOp
}

func replyCases() []replyCase {
	header := ReplyHeader{
		Flags: FlagReply, Shard: 2, KeyHash: KeyHash([]byte("user:42")), RequestID: 0x1122334455667788, SessionID: 0xA1A2A3A4A5A6A7A8,
		Epoch: 0x010204, Load: 0x4000, RxQueue: 3,
	}
	staged := header
	staged.Flags |= FlagStages
	staged.Stages = Stages{1_000_000_001, 1_000_002_002, 1_000_003_003}
	value := func(v []byte) ReplyOp {
		return ReplyOp{
			Code: Get, Version: MakeVersion(3, 9), TTLSeconds: 3599, AgeSeconds: 1, CRC: checksum.CRC(v), TotalBytes: uint32(len(v)), Value: v,
		}
	}
	answer := func(code Opcode, status Status, token uint64) ReplyOp {
		return ReplyOp{Code: code, Status: status, TTLSeconds: NoTTL, Token: token}
	}
	hit, second := value([]byte("hello")), value([]byte("second"))
	hit.Flags, hit.L1GrantMillis = ReplyL1Grant, 1500
	second.Index, second.TTLSeconds = 1, NoTTL
	part := value(counting(SegmentBytes))
	part.Flags, part.TotalBytes, part.OffsetBytes = ReplySegment|ReplyMore, 5000, 2048
	stale, lease := value([]byte("old")), answer(Get, StatusLeaseGranted, 0xFACE)
	stale.Flags, stale.Token, lease.Flags = ReplyStale|ReplyLease, 0xBEEF, ReplyLease
	stored := ReplyOp{Code: Put, Flags: ReplyDegraded, Version: MakeVersion(3, 10), TTLSeconds: 3600}
	greeting := make([]byte, HelloReplyBytes)
	(&HelloReply{Shards: 8, BasePort: BasePort, MaxValueBytes: 102400, MaxPayloadBytes: 1472, NodeID: 0x0A0B, BootID: 0x0C0D, NowNanos: 5}).Put(greeting)
	hello := answer(Hello, StatusOK, 0xC0C1C2C3C4C5C6C7)
	hello.CRC, hello.TotalBytes, hello.Value = checksum.CRC(greeting), HelloReplyBytes, greeting
	return []replyCase{
		{"hit_with_l1_grant", header, []ReplyOp{hit}},
		{"hit_with_stage_times", staged, []ReplyOp{hit}},
		{"miss", header, []ReplyOp{answer(Get, StatusMiss, 0)}},
		{"lease_granted", header, []ReplyOp{lease}},
		{"lease_wait_20_ms", header, []ReplyOp{answer(Get, StatusLeaseWait, 20)}},
		{"stale_with_refresh_token", header, []ReplyOp{stale}},
		{"segment", header, []ReplyOp{part}},
		{"stored_degraded", header, []ReplyOp{stored}},
		{"incr_gives_minus_3", header, []ReplyOp{answer(Incr, StatusOK, 0xFFFFFFFFFFFFFFFD)}},
		{"moved", header, []ReplyOp{answer(Get, StatusMoved, 0x010204)}},
		{"cookie_required", header, []ReplyOp{answer(Put, StatusCookieRequired, 0xC0C1C2C3C4C5C6C7)}},
		{"hello", header, []ReplyOp{hello}},
		{"multi_get", header, []ReplyOp{hit, second, {Code: Get, Status: StatusMiss, TTLSeconds: NoTTL, Index: 2}}},
		{"unsupported_datagram", header, []ReplyOp{{Status: StatusUnsupported, TTLSeconds: NoTTL}}},
	}
}

func (c *replyCase) vector() replyVector {
	h := &c.header
	v := replyVector{
		c.name, uint8(h.Flags), h.Shard, number(h.KeyHash), number(h.RequestID), number(h.SessionID), h.Epoch, h.Load, h.RxQueue, nil, nil,
		buildReply(h, c.ops),
	}
	if h.Flags&FlagStages != 0 {
		v.Stages = &stagesVector{number(h.Stages.ReceivedNanos), number(h.Stages.ServedNanos), number(h.Stages.SentNanos)}
	}
	for _, o := range c.ops {
		v.Ops = append(v.Ops, replyOpVector{
			uint8(o.Code), uint8(o.Status), uint16(o.Flags), number(o.Version), o.TTLSeconds, o.AgeSeconds, o.CRC, o.L1GrantMillis, o.Index,
			number(o.Token), o.TotalBytes, o.OffsetBytes, o.Value,
		})
	}
	return v
}

func (v *replyVector) fields() replyCase {
	c := replyCase{name: v.Name, header: ReplyHeader{
		Flags: Flags(v.Flags), Shard: v.Shard, KeyHash: uint64(v.KeyHash), RequestID: uint64(v.RequestID), SessionID: uint64(v.SessionID),
		Epoch: v.Epoch, Load: v.Load, RxQueue: v.RxQueue,
	}}
	if v.Stages != nil {
		c.header.Stages = Stages{uint64(v.Stages.Received), uint64(v.Stages.Served), uint64(v.Stages.Sent)}
	}
	for _, o := range v.Ops {
		c.ops = append(c.ops, ReplyOp{
			Opcode(o.Opcode), Status(o.Status), ReplyFlags(o.Flags), Version(o.Version), o.TTLSeconds, o.AgeSeconds, o.CRC, o.L1GrantMillis,
			o.Index, uint64(o.Token), o.TotalBytes, o.OffsetBytes, o.Value,
		})
	}
	return c
}

func hashVectors() (vectors []hashVector) {
	for _, key := range []string{"a", "hello", "user:42", "0123456789abcdef", "0123456789abcdef0", string(counting(MaxKeyBytes))} {
		v := hashVector{Key: []byte(key), KeyHash: number(KeyHash([]byte(key))), CRC: checksum.CRC([]byte(key)), Shards: map[int]int{}}
		for _, shards := range []int{1, 2, 3, 8, 48} {
			v.Shards[shards] = ShardOf(uint64(v.KeyHash), shards)
		}
		vectors = append(vectors, v)
	}
	return vectors
}

const vectorDir = "testdata/vectors"

func writeVectors[T any](t *testing.T, name string, vectors []T) {
	t.Helper()
	b, err := json.MarshalIndent(vectors, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(vectorDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(vectorDir, name), append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// vectors reads a file of them, after it was written anew if that was asked for, and expects it to hold what the cases say.
func vectors[T any](t *testing.T, name string, want []T) []T {
	t.Helper()
	if *update {
		writeVectors(t, name, want)
	}
	b, err := os.ReadFile(filepath.Join(vectorDir, name))
	if err != nil {
		t.Fatal(err)
	}
	var got []T
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if a, b := mustJSON(t, got), mustJSON(t, want); !bytes.Equal(a, b) {
		t.Errorf("%s is not what the cases give. If the format was meant to change: go test ./wire -run Vectors -update", name)
	}
	return got
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVectorsOfRequests(t *testing.T) {
	var want []requestVector
	for _, c := range requestCases() {
		want = append(want, c.vector())
	}
	for _, v := range vectors(t, "requests.json", want) {
		c := v.fields()
		if built := c.build(); !bytes.Equal(built, v.Datagram) {
			t.Errorf("%s: built %x, vector %x", v.Name, built, v.Datagram)
		}
		var r Request
		if reason := ParseRequest(v.Datagram, &r); reason != ReasonNone {
			t.Errorf("%s: %v", v.Name, reason)
		} else if r.RequestHeader != c.header || !equalOps(collectOps(&r), c.ops) {
			t.Errorf("%s: %+v with %+v", v.Name, r, collectOps(&r))
		}
		compareRequest(t, v.Datagram)
	}
}

func TestVectorsOfReplies(t *testing.T) {
	var want []replyVector
	for _, c := range replyCases() {
		want = append(want, c.vector())
	}
	for _, v := range vectors(t, "replies.json", want) {
		c := v.fields()
		if built := buildReply(&c.header, c.ops); !bytes.Equal(built, v.Datagram) {
			t.Errorf("%s: built %x, vector %x", v.Name, built, v.Datagram)
		}
		var r Reply
		if reason := ParseReply(v.Datagram, &r); reason != ReasonNone {
			t.Errorf("%s: %v", v.Name, reason)
		} else if r.ReplyHeader != c.header || !equalReplyOps(collectReplyOps(&r), c.ops) {
			t.Errorf("%s: %+v with %+v", v.Name, r, collectReplyOps(&r))
		}
		compareReply(t, v.Datagram)
	}
}

func TestVectorsOfMalformed(t *testing.T) {
	parsers := map[string]func([]byte) Reason{
		"request": func(b []byte) Reason { return ParseRequest(b, new(Request)) },
		"reply":   func(b []byte) Reason { return ParseReply(b, new(Reply)) },
	}
	seen := map[string]bool{}
	for _, v := range vectors(t, "malformed.json", malformedCases()) {
		seen[v.Reason] = true
		if got := parsers[v.Direction](v.Datagram); got.String() != v.Reason {
			t.Errorf("%s %s: %v, want %s", v.Direction, v.Name, got, v.Reason)
		}
	}
	// Too long to be written down: a datagram that no UDP socket could have delivered.
	for direction, parse := range parsers {
		if got := parse(make([]byte, MaxDatagramBytes+1)); got != ReasonLong {
			t.Errorf("a %s over the limit: %v", direction, got)
		}
	}
	seen[ReasonLong.String()] = true
	for reason := ReasonShort; reason < ReasonCount; reason++ {
		if !seen[reason.String()] {
			t.Errorf("no vector is malformed by reason of %q", reason)
		}
	}
}

func TestVectorsOfHashes(t *testing.T) {
	for _, v := range vectors(t, "hashes.json", hashVectors()) {
		if uint64(v.KeyHash) != KeyHash(v.Key) || v.CRC != slowCRC32C(v.Key) {
			t.Errorf("%x: %+v", v.Key, v)
		}
	}
}

func slowCRC32C(b []byte) uint32 {
	crc := ^uint32(0)
	for _, v := range b {
		crc ^= uint32(v)
		for range 8 {
			crc = crc>>1 ^ 0x82F63B78*(crc&1)
		}
	}
	return ^crc
}

func TestVectorNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range malformedCases() {
		if name := v.Direction + " " + v.Name; seen[name] {
			t.Errorf("%s stands there twice", name)
		} else {
			seen[name] = true
		}
	}
}
