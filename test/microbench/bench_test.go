package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"testing"

	"gannet/board"
	"gannet/checksum"
	"gannet/dataplane"
	"gannet/dataplane/port"
	"gannet/dataplane/porttest"
	"gannet/ring"
	"gannet/security"
	"gannet/shard"
	"gannet/wire"
)

// items of 100 B: with index and headers some 80 MB, more than most caches.
const items = 1 << 19

var sink uint64

func BenchmarkReference(b *testing.B) {
	from, to := make([]byte, 1024), make([]byte, 1024)
	for i := range from {
		from[i] = byte(i)
	}
	for b.Loop() {
		copy(to, from)
		for at := 0; at+8 <= len(to); at += 8 {
			sink += binary.LittleEndian.Uint64(to[at:])
		}
	}
}

func key(i int) []byte { return fmt.Appendf(nil, "micro:%010d", i) }

func getDatagram(cookie uint64, keys ...[]byte) []byte {
	b := wire.AppendRequest(nil, &wire.RequestHeader{RequestID: 1, SessionID: 77, Cookie: cookie, KeyHash: wire.KeyHash(keys[0])})
	for _, k := range keys {
		b = wire.AppendOp(b, 0, &wire.Op{Code: wire.Get, Key: k})
	}
	return b
}

func BenchmarkParse(b *testing.B) {
	datagram := getDatagram(1, key(1))
	var r wire.Request
	b.ReportAllocs()
	for b.Loop() {
		if wire.ParseRequest(datagram, &r) != wire.ReasonNone {
			b.Fatal("refused")
		}
		k, _, _ := r.PlainGet(0)
		sink += uint64(len(k))
	}
}

func BenchmarkParse16(b *testing.B) {
	keys := make([][]byte, 16)
	for i := range keys {
		keys[i] = key(i)
	}
	datagram := getDatagram(1, keys...)
	var r wire.Request
	b.ReportAllocs()
	for b.Loop() {
		if wire.ParseRequest(datagram, &r) != wire.ReasonNone {
			b.Fatal("refused")
		}
		for at, next := 0, 0; ; at = next {
			var k []byte
			if k, _, next = r.PlainGet(at); next == 0 {
				break
			}
			sink += uint64(len(k))
		}
	}
}

func filled(b *testing.B, log shard.Log) *shard.Shard {
	s, _, err := shard.Open(shard.Config{MemoryBytes: items*230 + 16<<20, Policy: "default", NUMANode: -1, Log: log}, 1e12)
	if err != nil {
		b.Fatal(err)
	}
	value := make([]byte, 100)
	for i := range items {
		k := key(i)
		w := shard.Write{Op: shard.Put, Hash: wire.KeyHash(k), Key: k, Value: value}
		if s.Write(&w, 1e12); w.Status != shard.OK {
			b.Fatalf("fill: status %d", w.Status)
		}
	}
	return s
}

// asked are the questions of the look-up benchmarks, in random order.
func asked() []shard.Get {
	rng, gets := rand.New(rand.NewPCG(1, 2)), make([]shard.Get, 1<<15)
	for i := range gets {
		k := key(rng.IntN(items))
		gets[i] = shard.Get{Hash: wire.KeyHash(k), Key: k}
	}
	return gets
}

func BenchmarkLookupBatched(b *testing.B) {
	s, gets := filled(b, nil), asked()
	defer s.Close()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i%64 == 0 {
			s.GetBatch(gets[i%len(gets):][:64], 1e12)
		}
		i++
	}
}

func BenchmarkLookupSingle(b *testing.B) {
	s, gets := filled(b, nil), asked()
	defer s.Close()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.Get(&gets[i%len(gets)], 1e12)
		i++
	}
}

func BenchmarkReplyBuild(b *testing.B) {
	frame, value := make([]byte, 1472), make([]byte, 100)
	var request wire.Request
	copy(frame, getDatagram(1, key(1)))
	if wire.ParseRequest(frame[:len(getDatagram(1, key(1)))], &request) != wire.ReasonNone {
		b.Fatal("refused")
	}
	op := wire.ReplyOp{Code: wire.Get, Version: 1 << 40, Value: value, TotalBytes: 100}
	var w wire.ReplyWriter
	b.ReportAllocs()
	for b.Loop() {
		w.BeginEcho(frame, true)
		w.Append(&op)
		sink += uint64(w.FinishEcho(&request, 1, 2, 3))
		sink += uint64(w.Sum())
	}
}

func BenchmarkChecksumCombine(b *testing.B) {
	crc, sum := uint32(1), uint16(1)
	b.ReportAllocs()
	for b.Loop() {
		crc = checksum.CombineCRC(crc, 0x12345678, checksum.UnitBytes)
		sum = checksum.Add(sum, 0x1234)
	}
	sink += uint64(crc) + uint64(sum)
}

func BenchmarkRingLookup(b *testing.B) {
	members := make([]ring.Member, 16)
	for i := range members {
		members[i] = ring.Member{
			ID: uint64(i + 1), Name: fmt.Sprint("node-", i), Zone: fmt.Sprint("zone-", i%3), Weight: 1, Shards: 8,
			Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 9800),
		}
	}
	r, err := ring.New(1, members)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	hash := uint64(1)
	for b.Loop() {
		hash = hash*6364136223846793005 + 1442695040888963407
		if r.Owns(1, hash) {
			sink++
		}
	}
}

// BenchmarkLoop is the whole loop on the port in memory, port and client included.
func BenchmarkLoop(b *testing.B) {
	shared, err := board.Create(filepath.Join(b.TempDir(), "board"), board.Spec{Shards: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer shared.Close()
	from := port.Addr{Port: 40001, IP: [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: 1}}
	now := int64(1e12)
	memory := porttest.New(porttest.Options{
		Frames: 512, FillFrames: 256, Sink: func([]byte, []byte, port.Addr) {}, NowNanos: func() int64 { return now },
	})
	cookies := security.NewCookies([16]byte{1}, int64(3600e9))
	loop, err := dataplane.New(dataplane.Config{
		Shards: 1, Port: memory, Store: filled(b, nil), Board: shared, Cookies: cookies, BasePort: 9800,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer loop.Close()
	asks := make([][]byte, 1<<14)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range asks {
		asks[i] = getDatagram(cookies.Make(from.IP, from.Port, now), key(rng.IntN(items)))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		memory.Inject(asks[i%len(asks)], from)
		if i++; i%64 == 0 {
			now += 10_000
			loop.Turn(now)
		}
	}
}
