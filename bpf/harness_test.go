package bpf

import (
	"errors"
	"math"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"
)

const (
	xdpDrop     = 1
	xdpPass     = 2
	xdpTx       = 3
	xdpRedirect = 4
)

var (
	client4 = netip.MustParseAddr("192.0.2.7")
	server4 = netip.MustParseAddr("192.0.2.1")
	client6 = netip.MustParseAddr("2001:db8::7")
	server6 = netip.MustParseAddr("2001:db8::1")
)

var ownAddress = net.HardwareAddr{2, 0, 0, 0, 0, 1}

// testConfig steers ports 9800 and 9801 of a single rx queue. One stamp lasts
// for a test, however slow the machine.
func testConfig() SteerConfig {
	return SteerConfig{PortBase: 9800, Shards: 2, Queues: 1, StaleAfter: time.Hour, Address: ownAddress}
}

// skipUnsupported skips where the kernel or the privileges are missing, and
// fails on anything else.
func skipUnsupported(tb testing.TB, err error) {
	tb.Helper()
	if errors.Is(err, ErrUnsupported) || errors.Is(err, ErrPrivilege) {
		tb.Skipf("missing: %v", err)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// bench is a loaded program with one live queue that packets are run through.
type bench struct {
	*Steer
	tb testing.TB
}

func loadIdle(tb testing.TB, cfg SteerConfig) *bench {
	tb.Helper()
	s, err := LoadSteer(cfg)
	skipUnsupported(tb, err)
	tb.Cleanup(func() { _ = s.Close() })
	return &bench{Steer: s, tb: tb}
}

func load(tb testing.TB, cfg SteerConfig) *bench {
	tb.Helper()
	b := loadIdle(tb, cfg)
	if err := b.RegisterSocket(0, xdpSocket(tb)); err != nil {
		tb.Fatal(err)
	}
	b.Stamp(0, bootNanos(tb))
	return b
}

// xdpSocket is not bound to anything: enough to fill a slot.
func xdpSocket(tb testing.TB) int {
	tb.Helper()
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	skipUnsupported(tb, explain("open an AF_XDP socket", err))
	tb.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func bootNanos(tb testing.TB) int64 {
	tb.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		tb.Fatal(err)
	}
	return now.Nano()
}

// xdpContext is struct xdp_md.
type xdpContext struct {
	Data, DataEnd, DataMeta, IngressIfindex, RxQueue, EgressIfindex uint32
}

// run returns the verdict and what became of the bytes, metadata included.
func (b *bench) run(frame []byte, context *xdpContext) (uint32, []byte) {
	b.tb.Helper()
	opts := &ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+512)}
	if context != nil {
		opts.Context = context
	}
	verdict, err := b.program.Run(opts)
	if err != nil {
		b.tb.Fatalf("run %d bytes: %v", len(frame), err)
	}
	return verdict, opts.DataOut
}

// reasonsOf returns which counters a packet moved, and by how much.
func (b *bench) reasonsOf(do func()) map[Reason]uint64 {
	before := b.Counters()
	do()
	moved := b.Counters()
	for reason, count := range before {
		if moved[reason] -= count; moved[reason] == 0 {
			delete(moved, reason)
		}
	}
	return moved
}

// packet describes a frame; its zero value with a payload is a good IPv4
// request frame for shard 0.
type packet struct {
	source  netip.Addr
	vlan    bool
	port    uint16
	payload []byte
}

// request is the smallest good request: header, one operation.
func request() []byte {
	b := make([]byte, 128)
	b[0], b[1], b[2] = 0x47, 0x6E, 1
	b[6], b[7] = 1, 12
	b[96], b[98] = 1, 5 // GET of a five-byte key
	copy(b[120:], "hello")
	return b
}

func (p packet) frame(tb testing.TB) []byte {
	tb.Helper()
	if !p.source.IsValid() {
		p.source = client4
	}
	if p.port == 0 {
		p.port = 9800
	}
	if p.payload == nil {
		p.payload = request()
	}
	udp := &layers.UDP{SrcPort: 40000, DstPort: layers.UDPPort(p.port)}
	stack := append(p.ethernet(), p.network(udp), udp, gopacket.Payload(p.payload))
	return serialize(tb, stack...)
}

func serialize(tb testing.TB, stack ...gopacket.SerializableLayer) []byte {
	tb.Helper()
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buffer, options, stack...); err != nil {
		tb.Fatal(err)
	}
	return buffer.Bytes()
}

func (p packet) ethernet() []gopacket.SerializableLayer {
	network := layers.EthernetTypeIPv4
	if p.source.Is6() {
		network = layers.EthernetTypeIPv6
	}
	eth := &layers.Ethernet{
		SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 7}, DstMAC: ownAddress,
		EthernetType: network,
	}
	if !p.vlan {
		return []gopacket.SerializableLayer{eth}
	}
	eth.EthernetType = layers.EthernetTypeDot1Q
	return []gopacket.SerializableLayer{eth, &layers.Dot1Q{VLANIdentifier: 5, Type: network}}
}

func (p packet) network(udp *layers.UDP) gopacket.SerializableLayer {
	if p.source.Is4() {
		ip := &layers.IPv4{
			Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP,
			SrcIP: p.source.AsSlice(), DstIP: server4.AsSlice(),
		}
		_ = udp.SetNetworkLayerForChecksum(ip)
		return ip
	}
	ip := &layers.IPv6{
		Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP,
		SrcIP: p.source.AsSlice(), DstIP: server6.AsSlice(),
	}
	_ = udp.SetNetworkLayerForChecksum(ip)
	return ip
}

// verdictOf says what a reason must lead to.
func verdictOf(reason Reason) uint32 {
	switch {
	case reason == Redirected:
		return xdpRedirect
	case reason == Answered:
		return xdpTx
	case reason.Dropped():
		return xdpDrop
	case reason > ReasonNone && reason <= PassStale:
		return xdpPass
	}
	return math.MaxUint32
}
