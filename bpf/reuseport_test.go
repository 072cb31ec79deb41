package bpf

import (
	"errors"
	"maps"
	"testing"

	"golang.org/x/sys/unix"
)

// group is a SO_REUSEPORT group of kernel sockets on one loopback port, and a
// sender with one fixed flow, which the kernel's own hash always sends to the
// same socket.
type group struct {
	*Reuseport
	t       *testing.T
	sockets []int
	sender  int
}

func newGroup(t *testing.T, shards, registered int) *group {
	t.Helper()
	inNamespace(t)
	r, err := LoadReuseport(shards)
	skipUnsupported(t, err)
	t.Cleanup(func() { _ = r.Close() })
	g := &group{Reuseport: r, t: t}
	for shard := range shards {
		g.sockets = append(g.sockets, g.bound(true))
		if shard < registered {
			g.must(r.Register(shard, g.sockets[shard]))
		}
	}
	g.must(r.Attach(g.sockets[0]))
	g.sender = g.bound(false)
	t.Cleanup(func() {
		for _, fd := range append(g.sockets, g.sender) {
			_ = unix.Close(fd)
		}
	})
	return g
}

func (g *group) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *group) bound(inGroup bool) int {
	g.t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	g.must(err)
	address := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if inGroup {
		address.Port = 9800
		g.must(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	}
	g.must(unix.Bind(fd, address))
	return fd
}

// deliver sends a datagram and returns which socket got it: loopback delivers
// before the send returns.
func (g *group) deliver(payload []byte) (socket int) {
	g.t.Helper()
	g.must(unix.Sendto(g.sender, payload, 0, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 9800}))
	polls := make([]unix.PollFd, len(g.sockets))
	for i, fd := range g.sockets {
		polls[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	if n, err := unix.Poll(polls, 10_000); n != 1 || err != nil {
		g.t.Fatalf("%d sockets readable: %v", n, err)
	}
	for i := range polls {
		if polls[i].Revents != 0 {
			socket = i
		}
	}
	buffer := make([]byte, 2048)
	n, _, err := unix.Recvfrom(g.sockets[socket], buffer, 0)
	g.must(err)
	if n != len(payload) {
		g.t.Fatalf("%d bytes arrived of %d", n, len(payload))
	}
	return socket
}

func (g *group) expect(payload []byte, want Reason) (socket int) {
	g.t.Helper()
	before := g.Counters()
	socket = g.deliver(payload)
	before[want]++
	if after := g.Counters(); !maps.Equal(before, after) {
		g.t.Fatalf("counted %v, want %v", after, before)
	}
	return socket
}

func forShard(shard uint16) []byte {
	b := request()
	b[4], b[5] = byte(shard), byte(shard>>8)
	return b
}

func TestReuseportPicksTheShard(t *testing.T) {
	const shards = 5
	g := newGroup(t, shards, shards)
	for i := range 10 * shards {
		shard := i * 3 % shards
		if got := g.expect(forShard(uint16(shard)), ReuseportSelected); got != shard {
			t.Fatalf("shard %d went to socket %d", shard, got)
		}
	}
}

// What it cannot place, the kernel's hash places: one flow, one socket.
func TestReuseportLeavesTheRestToTheKernel(t *testing.T) {
	g := newGroup(t, 4, 3)
	bad := request()
	bad[1] = 0
	kernels := g.expect(bad, ReuseportMagic)
	for _, c := range []struct {
		payload []byte
		want    Reason
	}{
		{nil, ReuseportShort},
		{request()[:7], ReuseportShort},
		{forShard(3), ReuseportNoSocket}, // not registered
		{forShard(4), ReuseportNoSocket},
		{forShard(0xFFFF), ReuseportNoSocket},
	} {
		if got := g.expect(c.payload, c.want); got != kernels {
			t.Errorf("%v: socket %d, the kernel's is %d", c.want, got, kernels)
		}
	}
	g.expect(request()[:8], ReuseportSelected) // the header's start is enough
}

func TestReuseportForgetsClosedSockets(t *testing.T) {
	g := newGroup(t, 2, 2)
	g.must(unix.Close(g.sockets[1]))
	g.sockets = g.sockets[:1]
	if got := g.expect(forShard(1), ReuseportNoSocket); got != 0 {
		t.Fatalf("socket %d", got)
	}
}

func TestReuseportRefuses(t *testing.T) {
	if _, err := LoadReuseport(0); !errors.Is(err, ErrConfig) {
		t.Errorf("0 shards: %v", err)
	}
	if _, err := LoadReuseport(1 << 16); !errors.Is(err, ErrConfig) {
		t.Errorf("65536 shards: %v", err)
	}
	g := newGroup(t, 1, 1)
	for _, shard := range []int{-1, 1} {
		if err := g.Register(shard, g.sockets[0]); !errors.Is(err, ErrConfig) {
			t.Errorf("shard %d: %v", shard, err)
		}
	}
	if err := g.Register(0, g.sender); err == nil {
		t.Error("registered a socket outside of the group")
	}
	if err := g.Attach(-1); err == nil {
		t.Error("attached to no socket")
	}
	g.must(g.Close())
	if got := g.Counters()[ReuseportSelected]; got != 0 {
		t.Errorf("%d selected", got)
	}
}
