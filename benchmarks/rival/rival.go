package rival

import (
	"context"
	"fmt"
	"net/netip"

	"gannet/loadgen/bench"
	"gannet/test/lab"
)

// Kind names a server.
type Kind string

// The servers.
const (
	Gannet    Kind = "gannet"
	Memcached Kind = "memcached"
	Redis     Kind = "redis"
	GoMsg     Kind = "go-recvmmsg"
	Echo      Kind = "c-echo"
	Reflector Kind = "xdp-reflector"
)

// Kinds are all of them, in the order of the report.
var Kinds = []Kind{Gannet, Memcached, Redis, GoMsg, Echo, Reflector}

// Host is where servers are started.
type Host struct {
	Lab    *lab.Lab
	CPU    int    // of the server
	Bin    string // folder with gannet and gannet-dataplane
	Native string // folder with the compiled C rivals, see scripts/rivals.sh
	Self   string // this program: it serves GoMsg and Reflector by its own verbs
}

// Running is a started server.
type Running struct {
	PID     int // its pinned threads are measured; 0 = it has none
	Version string
	Config  string
	Stop    func() error
	Log     func() string
}

// Start starts a server and waits until it answers. flags are for Gannet only.
func (h Host) Start(ctx context.Context, kind Kind, flags ...string) (*Running, error) {
	var r *Running
	var err error
	switch kind {
	case Gannet:
		r, err = h.startGannet(ctx, flags)
	case Memcached:
		r, err = h.startMemcached(ctx)
	case Redis:
		r, err = h.startRedis(ctx)
	case GoMsg:
		r, err = h.startGoMsg(ctx)
	case Echo:
		r, err = h.startEcho(ctx)
	case Reflector:
		r, err = h.startReflector(ctx)
	default:
		return nil, fmt.Errorf("rival: unknown server %q", kind)
	}
	if err != nil {
		return nil, fmt.Errorf("rival: start %s: %w", kind, err)
	}
	return r, nil
}

// Ports by protocol.
const (
	gannetPort    = 9800
	memcachedPort = 11211
	redisPort     = 6379
)

// Address is where a protocol is served.
func Address(p bench.Protocol) netip.AddrPort {
	port := uint16(gannetPort)
	switch p {
	case bench.MemcachedUDP, bench.MemcachedTCP:
		port = memcachedPort
	case bench.Redis:
		port = redisPort
	case bench.Gannet, bench.Echo:
	}
	return netip.AddrPortFrom(netip.MustParseAddr(lab.ServerAddr), port)
}
