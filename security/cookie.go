package security

import (
	"encoding/binary"

	"github.com/dchest/siphash"
)

// Cookies makes and checks the cookies of a node. All its shards, and the processes of a warm restart, share one master key.
type Cookies struct {
	key0, key1  uint64
	periodNanos int64
}

// NewCookies returns the cookies under a secret master key, which must be random. The key of a datagram's hash rotates every
// periodNanos; a period below one second is taken as one second, for round trips must fit in.
func NewCookies(master [16]byte, periodNanos int64) *Cookies {
	return &Cookies{
		key0:        binary.LittleEndian.Uint64(master[:8]),
		key1:        binary.LittleEndian.Uint64(master[8:]),
		periodNanos: max(periodNanos, 1_000_000_000),
	}
}

// Make returns the cookie for an address (IPv4 in its IPv6-mapped form) and port. It is never 0.
func (c *Cookies) Make(address [16]byte, port uint16, nowNanos int64) uint64 {
	return c.hash(&address, port, c.period(nowNanos))
}

// Valid reports whether cookie was made for that address and port in the current period or the one before.
func (c *Cookies) Valid(cookie uint64, address [16]byte, port uint16, nowNanos int64) bool {
	period := c.period(nowNanos)
	return cookie == c.hash(&address, port, period) || cookie == c.hash(&address, port, period-1)
}

func (c *Cookies) period(nowNanos int64) uint64 {
	return uint64(nowNanos / c.periodNanos)
}

func (c *Cookies) hash(address *[16]byte, port uint16, period uint64) uint64 {
	var message [26]byte
	copy(message[:], address[:])
	binary.LittleEndian.PutUint16(message[16:], port)
	binary.LittleEndian.PutUint64(message[18:], period)
	if h := siphash.Hash(c.key0, c.key1, message[:]); h != 0 {
		return h
	}
	return 1
}
