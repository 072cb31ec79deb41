package weather

import (
	"errors"
	"math/rand/v2"
	"os"
	"time"
)

// pump carries the packets of one direction.
type pump struct {
	path     *Path
	from, to *os.File
	random   *rand.Rand
	held     []heldBack
}

// heldBack is a packet that waits until so many others have passed it.
type heldBack struct {
	packet []byte
	ahead  int
}

// mostPacketBytes is more than any packet.
const mostPacketBytes = 1 << 16

func (m *pump) run() {
	buf := make([]byte, mostPacketBytes)
	for {
		var deadline time.Time
		if len(m.held) > 0 {
			deadline = time.Now().Add(heldLongest)
		}
		if m.from.SetReadDeadline(deadline) != nil {
			return // closed
		}
		n, err := m.from.Read(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			m.letGo(len(m.held))
		case err != nil:
			return
		default:
			m.meet(buf[:n])
		}
	}
}

// meet decides about a packet.
func (m *pump) meet(packet []byte) {
	sky, p := m.path.sky.Load(), m.path
	switch {
	case sky.LongestBytes != 0 && len(packet) > sky.LongestBytes:
		p.TooLong.Add(1)
		return
	case m.chance(sky.Lose):
		p.Lost.Add(1)
		return
	case m.chance(sky.Reorder):
		p.Reordered.Add(1)
		m.held = append(m.held, heldBack{append([]byte(nil), packet...), 1 + m.random.IntN(aheadMost)})
		return
	}
	m.write(packet)
	if m.chance(sky.Repeat) {
		p.Repeated.Add(1)
		m.write(packet)
	}
	m.passed()
}

func (m *pump) chance(share float64) bool { return share > 0 && m.random.Float64() < share }

// passed lets those go that enough others have passed.
func (m *pump) passed() {
	over := 0
	for i := range m.held {
		if m.held[i].ahead--; m.held[i].ahead <= 0 {
			m.write(m.held[i].packet)
			continue
		}
		m.held[over] = m.held[i]
		over++
	}
	m.held = m.held[:over]
}

// letGo writes the first n that are held back.
func (m *pump) letGo(n int) {
	for _, h := range m.held[:n] {
		m.write(h.packet)
	}
	m.held = append(m.held[:0], m.held[n:]...)
}

func (m *pump) write(packet []byte) {
	if _, err := m.to.Write(packet); err == nil {
		m.path.Carried.Add(1)
	}
}
