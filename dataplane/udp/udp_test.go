package udp

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gannet/dataplane/port"
	"gannet/dataplane/porttest"
)

// kernelPeer is a connected kernel socket: it takes replies only from the address
// it asked.
type kernelPeer struct{ *net.UDPConn }

func (p kernelPeer) Send(payload []byte) error {
	_, err := p.Write(payload)
	return err
}

func (p kernelPeer) Receive(payload []byte, timeout time.Duration) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return 0, err
	}
	return p.Read(payload)
}

func (p kernelPeer) Addr() port.Addr {
	a := p.LocalAddr().(*net.UDPAddr).AddrPort()
	return port.Addr{IP: a.Addr().As16(), Port: a.Port()}
}

func dial(t *testing.T, to string, at uint16) kernelPeer {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(to), at)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return kernelPeer{c}
}

func open(t *testing.T, o Options) *Port {
	t.Helper()
	p, err := Open(o, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func TestConform(t *testing.T) {
	v4, v6 := netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()
	for name, c := range map[string]struct {
		options Options
		dial    string
	}{
		"all addresses, IPv4 peer":        {Options{}, "127.0.0.1"},
		"all addresses, second of them":   {Options{}, "127.0.0.2"},
		"all addresses, IPv6 peer":        {Options{}, "::1"},
		"one IPv4 address":                {Options{Address: v4}, "127.0.0.1"},
		"all IPv4 addresses":              {Options{Address: netip.IPv4Unspecified()}, "127.0.0.3"},
		"one IPv6 address":                {Options{Address: v6}, "::1"},
		"all IPv6 addresses":              {Options{Address: netip.IPv6Unspecified()}, "::1"},
		"few frames":                      {Options{Frames: 40, MaxBatch: 16}, "127.0.0.1"},
		"frames and replies of 9,000":     {Options{FrameBytes: 9216, MaxPayload: 8972}, "127.0.0.1"},
		"wait with busy poll in a driver": {Options{BusyPollMicros: 20}, "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			porttest.Conform(t, func(t *testing.T) porttest.Setup {
				p := open(t, c.options)
				return porttest.Setup{Port: p, Peer: dial(t, c.dial, p.LocalPort()), Datagrams: 4000}
			})
		})
	}
}

// request gets one datagram from the peer into the port.
func request(t *testing.T, p *Port, peer kernelPeer, payload []byte) port.Rx {
	t.Helper()
	if err := peer.Send(payload); err != nil {
		t.Fatal(err)
	}
	rx := make([]port.Rx, 1)
	for deadline := time.Now().Add(time.Minute); p.Recv(rx) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the datagram did not arrive")
		}
		_ = p.Wait(10 * time.Millisecond)
	}
	return rx[0]
}

// sendMany answers like with one datagram a size; each starts with its number.
func sendMany(t *testing.T, p *Port, like port.Rx, sizes []int) {
	t.Helper()
	for i, n := range sizes {
		l, ok := p.Lease(like.Frame)
		if !ok {
			t.Fatal("no free frame")
		}
		b := l.Payload[:n]
		for k := range b {
			b[k] = byte(i + k)
		}
		if p.Send([]port.Tx{{Frame: l.Frame, Bytes: n / 2, Tail: b[n/2:]}}) != 1 {
			t.Fatal("not taken")
		}
	}
}

func expectMany(t *testing.T, peer kernelPeer, sizes []int) {
	t.Helper()
	buf := make([]byte, 1<<16)
	for i, n := range sizes {
		got, err := peer.Receive(buf, 10*time.Second)
		if err != nil {
			t.Fatalf("datagram %d of %d: %v", i, len(sizes), err)
		}
		want := make([]byte, n)
		for k := range want {
			want[k] = byte(i + k)
		}
		if !bytes.Equal(buf[:got], want) {
			t.Fatalf("datagram %d: %d bytes arrived, sent %d", i, got, n)
		}
	}
}

func TestEqualRepliesLeaveAsOneMessage(t *testing.T) {
	sizes := make([]int, 40)
	for i := range sizes {
		sizes[i] = 1112
	}
	sizes[20], sizes[39] = 500, 3 // a run may end with a shorter one
	for _, host := range []string{"127.0.0.1", "::1"} {
		p := open(t, Options{})
		peer := dial(t, host, p.LocalPort())
		like := request(t, p, peer, make([]byte, 128))
		sendMany(t, p, like, sizes)
		if n := p.gather(); n != 2 || p.tx.joined[0] != 21 || p.tx.joined[1] != 19 {
			t.Errorf("%s: %d messages of %v datagrams, want 21 and 19", host, n, p.tx.joined[:n])
		}
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		expectMany(t, peer, sizes)
		if !p.tx.segments {
			t.Error("the kernel refused UDP GSO over loopback")
		}
	}
}

func TestDifferentPeersAreNotJoined(t *testing.T) {
	p := open(t, Options{})
	a, b := dial(t, "127.0.0.1", p.LocalPort()), dial(t, "127.0.0.1", p.LocalPort())
	ra, rb := request(t, p, a, make([]byte, 64)), request(t, p, b, make([]byte, 64))
	for range 3 {
		sendMany(t, p, ra, []int{100})
		sendMany(t, p, rb, []int{100})
	}
	if n := p.gather(); n != 6 {
		t.Errorf("%d messages, want 6", n)
	}
	_ = p.Flush()
	for range 3 {
		expectMany(t, a, []int{100})
		expectMany(t, b, []int{100})
	}
}

func TestRequestLongerThanAFrame(t *testing.T) {
	p := open(t, Options{FrameBytes: 1600})
	peer := dial(t, "127.0.0.1", p.LocalPort())
	for _, n := range []int{1601, 60000} {
		if err := peer.Send(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	rx := request(t, p, peer, make([]byte, 1600))
	var d port.Drops
	p.Drops(&d)
	if d[port.DropTruncated] != 2 || len(rx.Payload) != 1600 {
		t.Errorf("drops %v, then %d bytes", d, len(rx.Payload))
	}
	p.Release(rx.Frame)
	if c := p.Census(); !c.Balanced() || c.Held != 0 {
		t.Errorf("census %+v", c)
	}
}

func TestKernelDropsAreCounted(t *testing.T) {
	p := open(t, Options{ReceiveBytes: 8192})
	peer := dial(t, "127.0.0.1", p.LocalPort())
	const all = 300
	for range all {
		_ = peer.Send(make([]byte, 1000))
	}
	rx, got := make([]port.Rx, 64), 0
	for n := p.Recv(rx); n > 0; n = p.Recv(rx) {
		got += n
		for i := range n {
			p.Release(rx[i].Frame)
		}
	}
	p.Release(request(t, p, peer, make([]byte, 100)).Frame) // brings the count
	var d port.Drops
	p.Drops(&d)
	if got == 0 || got == all || d[port.DropKernelRxFull] != uint64(all-got) {
		t.Errorf("%d sent, %d arrived, %d counted as dropped", all, got, d[port.DropKernelRxFull])
	}
}

// openThree finds a base port with two free ports behind it.
func openThree(t *testing.T) (*Group, uint16) {
	t.Helper()
	for range 100 {
		probe := open(t, Options{})
		base := probe.LocalPort()
		_ = probe.Close()
		if g, err := OpenAll(Options{BasePort: base, Shards: 3}); err == nil {
			t.Cleanup(func() { _ = g.Close() })
			return g, base
		}
	}
	t.Fatal("no three free ports in a row")
	return nil, 0
}

func TestShardsHavePortsOfTheirOwn(t *testing.T) {
	g, base := openThree(t)
	for i, p := range g.Ports {
		peer := dial(t, "::1", base+uint16(i))
		rx := request(t, p, peer, []byte("hello"))
		if rx.LocalPort != base+uint16(i) || rx.Queue != uint16(i) {
			t.Errorf("shard %d: %+v", i, rx)
		}
	}
	_, err := OpenAll(Options{BasePort: base - 1, Shards: 2})
	if !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a port in use: %v", err)
	}
}

// TestShardsOnOnePort: the eBPF program picks the socket by the shard in the header.
func TestShardsOnOnePort(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("missing: root, for the eBPF program")
	}
	probe := open(t, Options{})
	base := probe.LocalPort()
	_ = probe.Close()
	g, err := OpenAll(Options{BasePort: base, Shards: 3, Reuseport: true})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	peer := dial(t, "127.0.0.1", base)
	for i := range 30 {
		shard := i % 3
		payload := make([]byte, 128)
		payload[0], payload[1], payload[2], payload[4], payload[6], payload[7] = 0x47, 0x6e, 1, byte(shard), 1, 12
		rx := request(t, g.Ports[shard], peer, payload)
		if rx.LocalPort != base || rx.Queue != uint16(shard) {
			t.Errorf("shard %d: %+v", shard, rx)
		}
		g.Ports[shard].Release(rx.Frame)
	}
}

func TestBadOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"one frame":            {Frames: 1},
		"tiny frames":          {FrameBytes: 100},
		"huge batch":           {MaxBatch: 5000},
		"reply over frame":     {MaxPayload: 4000},
		"shared port 0":        {Reuseport: true},
		"no such address here": {Address: netip.MustParseAddr("203.0.113.77")},
	} {
		if p, err := Open(o, 0); err == nil {
			t.Errorf("%s was accepted", name)
			_ = p.Close()
		}
	}
	if _, err := Open(Options{BasePort: 65535}, 1); err == nil {
		t.Error("port 65536 was accepted")
	}
}

// inNamespace runs the named test again in a network namespace of its own.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv("GANNET_UDP_TEST") == t.Name() {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root for a network namespace")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "GANNET_UDP_TEST="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("in the namespace: %v\n%s", err, out)
	}
	return false
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v: %s", args, err, out)
	}
}

// TestSegmentsOverTheMTU: the kernel refuses to join datagrams that would have to
// be fragmented; they must leave nevertheless.
func TestSegmentsOverTheMTU(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	ip(t, "link", "set", "lo", "mtu", "1000", "up")
	p := open(t, Options{})
	peer := dial(t, "127.0.0.1", p.LocalPort())
	like := request(t, p, peer, make([]byte, 128))
	sizes := []int{1200, 1200, 1200, 1200, 600, 600, 600}
	sendMany(t, p, like, sizes)
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	expectMany(t, peer, sizes)
	if !p.tx.segments {
		t.Error("one path's MTU turned UDP GSO off for all")
	}
	if c := p.Census(); !c.Balanced() || c.Tx != 0 {
		t.Errorf("census %+v", c)
	}
}

// TestFullSendBuffer: packets for a neighbour that does not answer ARP stay in the
// socket's buffer until it is full. Frames then wait in the tx queue.
func TestFullSendBuffer(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	ip(t, "link", "set", "lo", "up")
	ip(t, "link", "add", "gnt-udp-a", "type", "veth", "peer", "name", "gnt-udp-b")
	ip(t, "link", "set", "gnt-udp-b", "up")
	ip(t, "link", "set", "gnt-udp-a", "up")
	ip(t, "addr", "add", "10.99.0.1/24", "dev", "gnt-udp-a")
	p := open(t, Options{Address: netip.MustParseAddr("0.0.0.0"), SendBytes: 8192})
	like := request(t, p, dial(t, "127.0.0.1", p.LocalPort()), make([]byte, 128))
	p.frames[like.Frame].local = local{}
	copy(p.frames[like.Frame].peer[4:8], []byte{10, 99, 0, 2})
	const all = 100
	for range all {
		sendMany(t, p, like, []int{1000, 10}) // of two lengths, lest they be joined
	}
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	c := p.Census()
	if !p.tx.blocked || c.Tx == 0 || !c.Balanced() {
		t.Fatalf("nothing waits for the buffer: %+v", c)
	}
	// ARP gives up after a while, the buffer empties, and Wait says so.
	for deadline := time.Now().Add(time.Minute); p.Census().Tx == c.Tx; {
		if time.Now().After(deadline) {
			t.Fatal("the tx queue stays blocked")
		}
		if err := errors.Join(p.Wait(time.Second), p.Flush()); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzControl(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendSegment(nil, 1000))
	f.Add(appendLocal(nil, &local{ip: [16]byte{0xfe, 0x80}, ifindex: 3}, false))
	f.Add(appendLocal(appendSegment(nil, 7), &local{ip: [16]byte{10: 0xff, 11: 0xff, 12: 9}}, true))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r received
		parseControl(b, &r)
	})
}

func TestControlRoundTrip(t *testing.T) {
	for _, l := range []local{
		{ip: [16]byte{0xfe, 0x80, 15: 4}, ifindex: 7, set: true},
		{ip: [16]byte{0xfd, 15: 4}, set: true},
	} {
		b := appendSegment(appendLocal(nil, &l, false), 1000)
		if len(b) != txControlBytes {
			t.Errorf("%d bytes of control messages, the space is %d", len(b), txControlBytes)
		}
		var r received
		parseControl(b, &r)
		if r.local != l {
			t.Errorf("got %+v, want %+v", r.local, l)
		}
	}
}

func TestRealClockNoticesSteps(t *testing.T) {
	var c realClock
	c.measure()
	now := port.RealNanos()
	if got, want := c.boot(now), port.BootNanos(); got > want || want-got > int64(time.Second) {
		t.Errorf("boot time of now is %d, the clock says %d", got, want)
	}
	c.bootMinusReal += 5e9
	c.measuredReal -= 2 * remeasureNanos
	if got, want := c.boot(now), port.BootNanos(); got > want {
		t.Errorf("an old measurement was used: %d, now is %d", got, want)
	}
}

// BenchmarkEcho is what one core does for both ends of loopback.
func BenchmarkEcho(b *testing.B) {
	p, err := Open(Options{}, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(p.LocalPort())})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	rx, tx := make([]port.Rx, 64), make([]port.Tx, 64)
	payload, buf := make([]byte, 128), make([]byte, 2048)
	b.ReportAllocs()
	for b.Loop() {
		for range 16 {
			_, _ = c.Write(payload)
		}
		for left := 16; left > 0; {
			n := p.Recv(rx)
			for i := range n {
				tx[i] = port.Tx{Frame: rx[i].Frame, Bytes: 112}
			}
			p.Send(tx[:n])
			_ = p.Flush()
			left -= n
		}
		for range 16 {
			_, _ = c.Read(buf)
		}
	}
}
