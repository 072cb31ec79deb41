package clienttest

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"gannet/wire"
)

// Faults says what goes wrong on the way. Shares are between 0 and 1. The zero
// value is a perfect network.
type Faults struct {
	Seed         uint64
	LoseRequests float64
	LoseReplies  float64
	Repeat       float64 // replies sent twice
	Swap         float64 // replies that change places with the next one
	Damage       float64 // replies in which a byte of value is flipped
	// Delay, if set, says how long to hold back each reply.
	Delay func(reply []byte) time.Duration
	// Request, if set, sees each request; false loses it.
	Request func(request *wire.Request) bool
	// Reply, if set, may change each reply in place; false loses it.
	Reply func(reply []byte) bool
}

// network applies faults. It is used under the server's lock.
type network struct {
	Faults
	random *rand.Rand
}

func newNetwork(f Faults) *network {
	return &network{Faults: f, random: rand.New(rand.NewPCG(f.Seed, 1))}
}

func (n *network) chance(share float64) bool {
	return share > 0 && n.random.Float64() < share
}

// takes says whether a request arrives.
func (n *network) takes(request *wire.Request) bool {
	if n.Request != nil && !n.Request(request) {
		return false
	}
	return !n.chance(n.LoseRequests)
}

// carry turns the replies that the node sends into those that arrive.
func (n *network) carry(replies [][]byte) [][]byte {
	out := make([][]byte, 0, len(replies))
	for _, reply := range replies {
		if n.chance(n.LoseReplies) || (n.Reply != nil && !n.Reply(reply)) {
			continue
		}
		if n.chance(n.Damage) {
			n.damage(reply)
		}
		out = append(out, reply)
		if n.chance(n.Repeat) {
			out = append(out, reply)
		}
	}
	for i := 0; i+1 < len(out); i++ {
		if n.chance(n.Swap) {
			out[i], out[i+1] = out[i+1], out[i]
		}
	}
	return out
}

// damage flips a bit of the first value in a reply, if there is one: what the CRC
// of the protocol is for. Headers are under the UDP checksum alone.
func (n *network) damage(reply []byte) {
	op := reply[int(reply[wire.OffsetHeaderWords])*wire.AlignBytes:]
	length := int(binary.LittleEndian.Uint32(op[wire.ReplyOpOffsetValueBytes:]))
	if length > 0 {
		op[wire.ReplyOpHeaderBytes+n.random.IntN(length)] ^= 1 << n.random.IntN(8)
	}
}
