package udp

import (
	"fmt"
	"net/netip"

	"gannet/dataplane/port"
)

// Options says how to open the sockets of a node.
type Options struct {
	// Address to bind; the zero value binds all IPv4 and IPv6 addresses.
	Address netip.Addr
	// BasePort is the UDP port of shard 0; shard i is at BasePort+i. 0 lets the
	// kernel choose, separately for each shard.
	BasePort uint16
	// Reuseport binds all shards to BasePort and lets an eBPF program choose by the
	// shard in the datagram. It needs CAP_BPF (and OpenAll); port 0 is refused.
	Reuseport bool
	// Shards is the number of sockets that OpenAll opens.
	Shards int

	Frames       int // frames a port; 0 = 1,024
	FrameBytes   int // payload bytes of the longest request; 0 = 2,048
	MaxBatch     int // datagrams a system call; 0 = 64
	MaxPayload   int // UDP payload bytes of the longest reply to IPv4; 0 = 1,472. IPv6: 20 less
	ReceiveBytes int // socket receive buffer; 0 = 256 KiB. Above net.core.rmem_max needs CAP_NET_ADMIN
	SendBytes    int // socket send buffer; 0 = 4 MiB
	// BusyPollMicros makes Wait spin in the driver for so long before it sleeps; 0
	// leaves the system's default.
	BusyPollMicros int
}

const (
	defaultFrames     = 1024
	defaultFrameBytes = 2048
	defaultMaxBatch   = 64
	defaultMaxPayload = 1472
	// A queue of some 700 small requests: a few milliseconds of a shard's work. A longer
	// one would make a shard that is behind serve only what nobody waits for any more,
	// while the kernel drops what finds no room at next to no cost.
	defaultReceiveBytes = 256 << 10
	defaultSendBytes    = 4 << 20
	maxDatagramBytes    = 65507 // UDP over IPv4
	ipv6ExtraBytes      = 20    // an IPv6 header is longer by that much
)

func orElse(v, fallback int) int {
	if v == 0 {
		return fallback
	}
	return v
}

func (o Options) withDefaults() Options {
	o.Frames = orElse(o.Frames, defaultFrames)
	o.FrameBytes = orElse(o.FrameBytes, defaultFrameBytes)
	o.MaxBatch = orElse(o.MaxBatch, defaultMaxBatch)
	o.MaxPayload = orElse(o.MaxPayload, defaultMaxPayload)
	o.ReceiveBytes = orElse(o.ReceiveBytes, defaultReceiveBytes)
	o.SendBytes = orElse(o.SendBytes, defaultSendBytes)
	return o
}

func (o Options) check(index int) error {
	switch {
	case o.Frames < 2 || o.Frames > 1<<20:
		return fmt.Errorf("udp: %d frames: take 2 to 1,048,576", o.Frames)
	case o.FrameBytes < 256 || o.FrameBytes > 1<<16:
		return fmt.Errorf("udp: frames of %d bytes: take 256 to 65,536", o.FrameBytes)
	case o.MaxBatch < 1 || o.MaxBatch > 1024:
		return fmt.Errorf("udp: batches of %d: take 1 to 1,024", o.MaxBatch)
	case o.MaxPayload <= ipv6ExtraBytes || o.MaxPayload > maxDatagramBytes || o.MaxPayload > o.FrameBytes:
		return fmt.Errorf("udp: replies of %d payload bytes: take 21 to the smaller of 65,507 and FrameBytes (%d)", o.MaxPayload, o.FrameBytes)
	case index < 0 || (o.BasePort != 0 && !o.Reuseport && int(o.BasePort)+index > 65535):
		return fmt.Errorf("udp: shard %d has no port above base port %d: choose a lower base port", index, o.BasePort)
	case o.Reuseport && o.BasePort == 0:
		return fmt.Errorf("udp: shards that share a port need a port number, 0 is none")
	}
	return nil
}

func (o Options) caps(index int) port.Caps {
	return port.Caps{
		Rung: port.RungUDP, Queue: uint16(index), MaxBatch: o.MaxBatch,
		MaxPayload: o.MaxPayload, MaxPayload6: o.MaxPayload - ipv6ExtraBytes,
		Headroom: headroomBytes, MaxSegments: 2, RxTimestamps: true,
	}
}
