package bpf

import (
	"encoding/binary"
	"math"
	"net"
	"net/netip"
	"time"
)

// minimumKernel is the first kernel with bpf_xdp_get_buff_len, the youngest
// helper in use.
const minimumKernel = "Linux 5.18"

// Defaults of SteerConfig.
const (
	DefaultStaleAfter    = 100 * time.Millisecond
	DefaultAllowCapacity = 4096
	DefaultRateSources   = 16384
)

// MaxPacketsPerSecond bounds Rate: above it the interval between two packets,
// a whole number of nanoseconds, would be off by more than a hundredth.
const MaxPacketsPerSecond = 10_000_000

// SteerConfig is what the steering program is loaded with. Only Allow and
// Rate can be changed later.
type SteerConfig struct {
	PortBase uint16 // UDP port of shard 0
	Shards   int    // ports PortBase … PortBase+Shards-1 are ours
	Queues   int    // rx queues of the interface, slots of the XSKMAP; 0 = Shards
	// Address is the interface's Ethernet address: frames to another are passed to
	// the kernel, which ignores them. Empty = whatever comes is ours.
	Address net.HardwareAddr
	Frags   bool // take packets of several buffers (jumbo frames; XDP_USE_SG sockets)

	// StaleAfter is the age of a queue's stamp from which on its packets
	// are passed to the kernel; 0 = DefaultStaleAfter. Shorter finds a
	// frozen process sooner; it must stay well above the longest time
	// between two stamps, an idle poll included.
	StaleAfter time.Duration

	Allow         []netip.Prefix // sources let in; empty = everybody
	AllowCapacity int            // longest list SetAllow will ever take; 0 = DefaultAllowCapacity
	Rate          Rate           // for each source address; zero = no limit

	// Hot lets the program answer GETs of published items; nil leaves the
	// stage out.
	Hot *HotConfig

	// RateSources is how many addresses are remembered for Rate; 0 =
	// DefaultRateSources. About 100 bytes each. When there are more, the
	// least recently seen begins anew with a full bucket.
	RateSources int
}

// Rate limits one source address: an IPv4 address, or a whole IPv6 address (a
// rack often shares one /64).
type Rate struct {
	PacketsPerSecond int // 0 = no limit
	Burst            int // packets let through at once; 0 = a tenth of a second's worth
}

// withDefaults fills in what was left out and refuses what cannot be.
func (c SteerConfig) withDefaults() (SteerConfig, error) {
	if c.Queues == 0 {
		c.Queues = c.Shards
	}
	if c.StaleAfter == 0 {
		c.StaleAfter = DefaultStaleAfter
	}
	if c.AllowCapacity == 0 {
		c.AllowCapacity = max(DefaultAllowCapacity, len(c.Allow))
	}
	if c.RateSources == 0 {
		c.RateSources = DefaultRateSources
	}
	return c, c.check()
}

func (c *SteerConfig) check() error {
	switch {
	case c.PortBase == 0:
		return configError("port base is 0: give the UDP port of shard 0")
	case c.Shards < 1:
		return configError("%d shards: give at least 1", c.Shards)
	case int(c.PortBase)+c.Shards-1 > math.MaxUint16:
		return configError("%d shards from port %d on go beyond port 65535: lower one of them", c.Shards, c.PortBase)
	case c.Queues < 1 || c.Queues > math.MaxUint16:
		return configError("%d rx queues: give 1 to 65535", c.Queues)
	case len(c.Address) != 0 && len(c.Address) != ethernetBytes:
		return configError("address %v: give an Ethernet address of 6 bytes, or none", c.Address)
	case c.StaleAfter < time.Millisecond:
		return configError("stale after %v: give at least 1ms", c.StaleAfter)
	case c.AllowCapacity < 1 || c.AllowCapacity > math.MaxInt32:
		return configError("allow-list capacity %d: give at least 1", c.AllowCapacity)
	case c.RateSources < 1 || c.RateSources > math.MaxInt32:
		return configError("%d rate sources: give at least 1", c.RateSources)
	}
	if c.Hot != nil {
		return c.Hot.check()
	}
	return nil
}

const ethernetBytes = 6

// addressWord is own_address of the program.
func (c *SteerConfig) addressWord() uint64 {
	var word [8]byte
	copy(word[:], c.Address)
	return binary.BigEndian.Uint64(word[:])
}

// word packs a rate as struct settings has it: the interval between two
// packets in ns, rounded up, in the upper half, the burst in the lower.
func (r Rate) word() (uint64, error) {
	if r.PacketsPerSecond < 0 || r.PacketsPerSecond > MaxPacketsPerSecond {
		return 0, configError("%d packets a second: give 0 (no limit) to %d", r.PacketsPerSecond, MaxPacketsPerSecond)
	}
	if r.Burst < 0 || r.Burst > math.MaxInt32 {
		return 0, configError("burst of %d packets: give 0 (a tenth of a second's worth) to %d", r.Burst, math.MaxInt32)
	}
	if r.PacketsPerSecond == 0 {
		return 0, nil
	}
	burst := r.Burst
	if burst == 0 {
		burst = max(1, r.PacketsPerSecond/10)
	}
	perSecond := uint64(r.PacketsPerSecond)
	intervalNanos := (uint64(time.Second) + perSecond - 1) / perSecond
	return intervalNanos<<32 | uint64(burst), nil
}
