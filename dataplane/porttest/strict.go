package porttest

import (
	"fmt"
	"hash/maphash"

	"gannet/dataplane/port"
)

// PoisonByte fills the frames that go back to a strict port.
const PoisonByte = 0xDB

var sealSeed = maphash.MakeSeed()

// seal is the hash of all bytes of a sent datagram.
func (m *Memory) seal(s *sent) uint64 {
	return maphash.Bytes(sealSeed, m.head(s)) ^ 31*maphash.Bytes(sealSeed, s.tail)
}

func (m *Memory) mustBeSealed(s *sent) {
	if m.seal(s) != s.seal {
		panic(fmt.Sprintf("porttest: frame %d or its tail was changed between Send and its completion", s.frame))
	}
}

// mustHold panics, strict or not: going on would corrupt the frame lists.
func (m *Memory) mustHold(f port.Frame, call string) {
	if int(f) >= len(m.frames) {
		panic(fmt.Sprintf("porttest: %s of frame %d: the port has only %d", call, f, len(m.frames)))
	}
	if p := m.frames[f].place; p != placeHeld {
		panic(fmt.Sprintf("porttest: %s of frame %d, which the caller does not hold (it is in %s)", call, f, p))
	}
}

func (m *Memory) poison(f port.Frame) {
	room := m.room(f)
	for i := range room {
		room[i] = PoisonByte
	}
}

var placeNames = [...]string{"free", "fill", "rx", "held", "tx", "completion"}

func (p place) String() string { return placeNames[p] }
