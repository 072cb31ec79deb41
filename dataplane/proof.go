package dataplane

import (
	"encoding/binary"

	"gannet/dataplane/port"
)

// proofs remembers which cookies were just found good, because hashing one costs as
// much as finding an item. A peer has one place, and keeps it until another one
// takes it.
type proofs struct{ list [proofCount]proof }

// proof says that a cookie is its peer's. The whole address is compared: who could
// make two addresses meet would otherwise answer for the other one.
type proof struct {
	from       port.Addr
	cookie     uint64
	untilNanos int64
}

const (
	proofCount = 256
	// proofNanos is how much longer than its two periods a cookie may be accepted.
	proofNanos = int64(1e6)
)

// of returns the place of a peer.
func (p *proofs) of(from *port.Addr) *proof {
	h := (binary.LittleEndian.Uint64(from.IP[8:]) + uint64(from.Port)<<16) * 0x9E3779B97F4A7C15
	return &p.list[h>>56]
}

func (p *proof) holds(from *port.Addr, cookie uint64, nowNanos int64) bool {
	return p.cookie == cookie && cookie != 0 && nowNanos < p.untilNanos && p.from == *from
}
