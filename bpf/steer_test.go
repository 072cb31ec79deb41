package bpf

import (
	"bytes"
	"maps"
	"testing"
	"time"
)

// frameCase is one frame and what must become of it.
type frameCase struct {
	name  string
	frame []byte
	want  Reason
}

// changed is a copy of a frame with bytes overwritten at an offset.
func changed(frame []byte, offset int, with ...byte) []byte {
	frame = bytes.Clone(frame)
	copy(frame[offset:], with)
	return frame
}

const (
	ethBytes, vlanBytes        = 14, 4
	ipv4Bytes, ipv6Bytes       = 20, 40
	udpAt4, udpAt6             = ethBytes + ipv4Bytes, ethBytes + ipv6Bytes
	payloadAt4, requestMinimum = udpAt4 + 8, 120
)

// frameCases meets every reason that lies in the bytes of a frame alone.
func frameCases(tb testing.TB) []frameCase {
	return append(append(passCases(tb), dropCases(tb)...), goodCases(tb)...)
}

func goodCases(tb testing.TB) []frameCase {
	good4 := packet{}.frame(tb)
	longHeader := request()
	longHeader[7] = 13 // an extension of 8 bytes
	return []frameCase{
		{"IPv4", good4, Redirected},
		{"IPv6", packet{source: client6}.frame(tb), Redirected},
		{"IPv4, VLAN", packet{vlan: true}.frame(tb), Redirected},
		{"IPv6, VLAN", packet{vlan: true, source: client6}.frame(tb), Redirected},
		{"last port", packet{port: 9801}.frame(tb), Redirected},
		{"longer than smallest", packet{payload: append(request(), make([]byte, 1000)...)}.frame(tb), Redirected},
		{"smallest", packet{payload: request()[:requestMinimum]}.frame(tb), Redirected},
		{"header with extension", packet{payload: longHeader}.frame(tb), Redirected},
		{"all known flags", changed(good4, payloadAt4+3, 0x0E), Redirected},
		{"255 operations", changed(good4, payloadAt4+6, 255), Redirected},
		{"shard beyond ours is user space's business", changed(good4, payloadAt4+4, 0xFF, 0xFF), Redirected},
		{"don't fragment", changed(good4, ethBytes+6, 0x40, 0), Redirected},
		{"padding behind the datagram", append(bytes.Clone(good4), 0, 0, 0), Redirected},
		{"padding inside IP, behind UDP", changed(good4, udpAt4+4, 0, 8+requestMinimum), Redirected},
	}
}

func passCases(tb testing.TB) []frameCase {
	good4 := packet{}.frame(tb)
	good6 := packet{source: client6}.frame(tb)
	tagged := packet{vlan: true}.frame(tb)
	twice := changed(tagged, ethBytes+2, 0x81, 0x00)
	return []frameCase{
		{"group address", changed(good4, 0, 0x33), PassMulticast},
		{"flooded, to another machine", changed(good4, 5, 9), PassOtherHost},
		{"flooded, another maker's", changed(good6, 0, 4), PassOtherHost},
		{"ARP", changed(good4, 12, 0x08, 0x06), PassNotIP},
		{"two VLAN tags", twice, PassNotIP},
		{"802.1ad tag", changed(tagged, 12, 0x88, 0xA8), PassNotIP},
		{"cut in the VLAN tag", tagged[:ethBytes+3], PassTruncated},
		{"cut in IPv4", good4[:udpAt4-1], PassTruncated},
		{"cut in IPv6", good6[:udpAt6-1], PassTruncated},
		{"IPv4 type, other version", changed(good4, ethBytes, 0x65), PassIPMalformed},
		{"IPv4 with an option", changed(good4, ethBytes, 0x46), PassIPOptions},
		{"IPv4 header of four words", changed(good4, ethBytes, 0x44), PassIPOptions},
		{"IPv4 longer than the frame", good4[:len(good4)-1], PassIPMalformed},
		{"IPv4 shorter than its header", changed(good4, ethBytes+2, 0, 19), PassIPMalformed},
		{"first IPv4 fragment", changed(good4, ethBytes+6, 0x20, 0), PassFragment},
		{"later IPv4 fragment", changed(good4, ethBytes+6, 0, 1), PassFragment},
		{"IPv4 TCP", changed(good4, ethBytes+9, 6), PassNotUDP},
		{"IPv4 without room for UDP", changed(good4, ethBytes+2, 0, ipv4Bytes+7), PassTruncated},
		{"IPv6 type, other version", changed(good6, ethBytes, 0x45), PassIPMalformed},
		{"IPv6 longer than the frame", good6[:len(good6)-1], PassIPMalformed},
		{"IPv6 hop-by-hop", changed(good6, ethBytes+6, 0), PassIPv6Extension},
		{"IPv6 routing", changed(good6, ethBytes+6, 43), PassIPv6Extension},
		{"IPv6 fragment", changed(good6, ethBytes+6, 44), PassIPv6Extension},
		{"IPv6 ESP", changed(good6, ethBytes+6, 50), PassIPv6Extension},
		{"IPv6 AH", changed(good6, ethBytes+6, 51), PassIPv6Extension},
		{"IPv6 destination options", changed(good6, ethBytes+6, 60), PassIPv6Extension},
		{"IPv6 mobility", changed(good6, ethBytes+6, 135), PassIPv6Extension},
		{"ICMPv6", changed(good6, ethBytes+6, 58), PassNotUDP},
		{"IPv6 without room for UDP", changed(good6, ethBytes+4, 0, 7), PassTruncated},
		{"port before ours", packet{port: 9799}.frame(tb), PassOtherPort},
		{"port behind ours", packet{port: 9802}.frame(tb), PassOtherPort},
		{"port 1", packet{port: 1}.frame(tb), PassOtherPort},
	}
}

func dropCases(tb testing.TB) []frameCase {
	good4 := packet{}.frame(tb)
	good6 := packet{source: client6}.frame(tb)
	return []frameCase{
		{"UDP shorter than its header", changed(good4, udpAt4+4, 0, 7), DropUDPLength},
		{"UDP longer than IP", changed(good4, udpAt4+4, 0, 8+128+1), DropUDPLength},
		{"UDP longer than IPv6", changed(good6, udpAt6+4, 0xFF, 0xFF), DropUDPLength},
		{"empty datagram", packet{payload: []byte{}}.frame(tb), DropShort},
		{"one byte short", packet{payload: request()[:requestMinimum-1]}.frame(tb), DropShort},
		{"magic, first byte", changed(good4, payloadAt4, 0x48), DropMagic},
		{"magic, second byte", changed(good4, payloadAt4+1, 0), DropMagic},
		{"version 0", changed(good4, payloadAt4+2, 0), DropVersion},
		{"version 2", changed(good4, payloadAt4+2, 2), DropVersion},
		{"reply", changed(good4, payloadAt4+3, 1), DropReply},
		{"unknown flag", changed(good4, payloadAt4+3, 0x10), DropFlags},
		{"no operation", changed(good4, payloadAt4+6, 0), DropNoOperation},
		{"header too short", changed(good4, payloadAt4+7, 11), DropHeaderLength},
		{"header leaves no room for an operation", changed(good4, payloadAt4+7, 14), DropHeaderLength},
		{"header longer than the datagram", changed(good4, payloadAt4+7, 255), DropHeaderLength},
	}
}

// expect runs a frame and asserts verdict, bytes and every counter.
func (b *bench) expect(frame []byte, want Reason) {
	b.tb.Helper()
	var verdict uint32
	var out []byte
	moved := b.reasonsOf(func() { verdict, out = b.run(frame, nil) })
	if !maps.Equal(moved, map[Reason]uint64{want: 1}) {
		b.tb.Fatalf("counted %v, want one %v", moved, want)
	}
	if verdict != verdictOf(want) {
		b.tb.Fatalf("verdict %d for %v, want %d", verdict, want, verdictOf(want))
	}
	if want == Redirected {
		out = out[min(MetaBytes, len(out)):]
	}
	if !bytes.Equal(out, frame) {
		b.tb.Fatalf("bytes changed:\n%x\n%x", frame, out)
	}
}

func TestFrames(t *testing.T) {
	for _, frags := range []bool{false, true} {
		cfg := testConfig()
		cfg.Frags = frags
		b := load(t, cfg)
		for _, c := range frameCases(t) {
			t.Run(c.name, func(t *testing.T) {
				b := &bench{Steer: b.Steer, tb: t}
				b.expect(c.frame, c.want)
			})
		}
	}
}

func TestTwinAgreesWithTable(t *testing.T) {
	twin := classifier{portBase: 9800, ports: 2, socket: true}
	for _, c := range frameCases(t) {
		if got := twin.classify(c.frame); got != c.want {
			t.Errorf("%s: twin says %v, table %v", c.name, got, c.want)
		}
	}
}

func TestJumbo(t *testing.T) {
	cfg := testConfig()
	cfg.Frags = true
	b := load(t, cfg)
	b.expect(packet{payload: append(request(), make([]byte, 8700)...)}.frame(t), Redirected)
}

// A driver may put less than the headers into the first buffer.
func TestSplitHeaders(t *testing.T) {
	cfg := testConfig()
	cfg.Frags = true
	b := load(t, cfg)
	for _, family := range []packet{{}, {source: client6}, {vlan: true}} {
		frame := family.frame(t)
		headers := len(frame) - 128 + 8 // what the program reads
		for linear := ethBytes; linear < headers; linear++ {
			moved := b.reasonsOf(func() { b.run(frame, &xdpContext{DataEnd: uint32(linear)}) })
			if !maps.Equal(moved, map[Reason]uint64{PassSplit: 1}) {
				t.Fatalf("%d of %d bytes in the first buffer: %v", linear, len(frame), moved)
			}
		}
		moved := b.reasonsOf(func() { b.run(frame, &xdpContext{DataEnd: uint32(headers)}) })
		if !maps.Equal(moved, map[Reason]uint64{Redirected: 1}) {
			t.Fatalf("headers in the first buffer: %v", moved)
		}
	}
}

func TestMetadata(t *testing.T) {
	b := load(t, testConfig())
	before := bootNanos(t)
	_, out := b.run(packet{}.frame(t), nil)
	after := bootNanos(t)
	meta, ok := ReadMeta(out[:MetaBytes])
	if !ok || meta.Queue != 0 || meta.ArrivalNanos < before || meta.ArrivalNanos > after {
		t.Fatalf("metadata %+v %v, want arrival in [%d, %d]", meta, ok, before, after)
	}
	ClearMeta(out[:MetaBytes])
	if meta, ok := ReadMeta(out[:MetaBytes]); ok {
		t.Fatalf("cleared metadata read as %+v", meta)
	}
	if _, ok := ReadMeta(nil); ok {
		t.Fatal("read metadata from nothing")
	}
}

// Where others have taken the room in front of the packet, it goes on without.
func TestNoRoomForMetadata(t *testing.T) {
	b := load(t, testConfig())
	const taken = 208 // of 256, and the kernel keeps 40 for itself
	frame := append(make([]byte, taken), packet{}.frame(t)...)
	var verdict uint32
	moved := b.reasonsOf(func() {
		verdict, _ = b.run(frame, &xdpContext{Data: taken, DataEnd: uint32(len(frame))})
	})
	if verdict != xdpRedirect || !maps.Equal(moved, map[Reason]uint64{Redirected: 1, MetaFailed: 1}) {
		t.Fatalf("verdict %d, counted %v", verdict, moved)
	}
}

func TestNoSocket(t *testing.T) {
	b := loadIdle(t, testConfig())
	b.expect(packet{}.frame(t), PassNoSocket)
	b.expect(changed(packet{}.frame(t), payloadAt4, 0), DropMagic) // the guard comes first
}

func TestDeadMansSwitch(t *testing.T) {
	b := load(t, testConfig())
	frame := packet{}.frame(t)
	now := bootNanos(t)
	// The machine may have booted less than an hour ago: stamps before the
	// clock's zero wrap around, and stay old.
	for _, c := range []struct {
		name  string
		stamp int64
		want  Reason
	}{
		{"now", now, Redirected},
		{"half as old", now - int64(30*time.Minute), Redirected},
		{"too old", now - int64(time.Hour), PassStale},
		{"much too old", now - int64(1000*time.Hour), PassStale},
		{"fresh again", now, Redirected},
		{"a little ahead", now + int64(30*time.Minute), Redirected},
		{"from the future", now + int64(61*time.Minute), PassStale},
	} {
		b.Stamp(0, c.stamp)
		b.expect(frame, c.want)
		if t.Failed() {
			t.Fatal(c.name)
		}
	}
}

func TestNeverStampedIsStale(t *testing.T) {
	cfg := testConfig()
	cfg.StaleAfter = time.Millisecond
	b := loadIdle(t, cfg)
	if err := b.RegisterSocket(0, xdpSocket(t)); err != nil {
		t.Fatal(err)
	}
	b.expect(packet{}.frame(t), PassStale)
}

func TestStampOfOtherQueueIsIgnored(t *testing.T) {
	b := load(t, testConfig())
	b.Stamp(0, bootNanos(t)-int64(2*time.Hour))
	b.Stamp(-1, bootNanos(t))
	b.Stamp(1, bootNanos(t))
	b.expect(packet{}.frame(t), PassStale)
}

func TestStampAllocatesNothing(t *testing.T) {
	b := load(t, testConfig())
	if allocs := testing.AllocsPerRun(1000, func() { b.Stamp(0, 1) }); allocs != 0 {
		t.Fatalf("%v allocations a stamp", allocs)
	}
}

func TestCountersOutliveClose(t *testing.T) {
	b := load(t, testConfig())
	b.expect(packet{}.frame(t), Redirected)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if got := b.Counters()[Redirected]; got != 1 {
		t.Fatalf("%d redirected after Close, want 1", got)
	}
	if err := b.Close(); err != nil {
		t.Fatalf("second Close: %v", err)
	}
}
