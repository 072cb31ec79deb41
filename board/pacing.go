package board

import "sync/atomic"

// Pacing caps the rate of replies by client. It is an open hash table of lines
// {session, kbit/s}: linear probing over pacingProbes lines. Writer: control process.
type Pacing struct {
	lines [][]atomic.Uint64
	any   *atomic.Uint64 // line 0, word 7: how many caps were ever set
}

const (
	pacingBytes  = lineBytes
	pacingProbes = 8
	pacingMix    = 0x9E3779B97F4A7C15
)

// Pacing returns the table of caps. It allocates.
func (b *Board) Pacing() *Pacing {
	p := &Pacing{lines: make([][]atomic.Uint64, max(1, b.areas[AreaPacing].elements))}
	for i := range p.lines {
		p.lines[i] = b.words(AreaPacing, i)
	}
	p.any = &p.lines[0][7]
	return p
}

func (p *Pacing) line(session uint64, probe int) []atomic.Uint64 {
	at := (session * pacingMix) >> 32
	return p.lines[(at+uint64(probe))%uint64(len(p.lines))]
}

// Cap limits a session (not 0) to a rate; 0 lifts the limit. False when the table
// is full around its place.
func (p *Pacing) Cap(session uint64, kbitPerSecond uint32) bool {
	var free []atomic.Uint64
	for probe := range min(pacingProbes, len(p.lines)) {
		l := p.line(session, probe)
		switch {
		case l[0].Load() == session:
			if kbitPerSecond == 0 {
				l[0].Store(0)
			}
			l[1].Store(uint64(kbitPerSecond))
			return true
		case free == nil && l[0].Load() == 0:
			free = l
		}
	}
	if kbitPerSecond == 0 {
		return true
	}
	if free == nil {
		return false
	}
	free[1].Store(uint64(kbitPerSecond))
	free[0].Store(session) // after the rate: whoever finds the session finds its rate
	p.any.Add(1)
	return true
}

// Rate returns a session's cap in kbit/s, 0 = none.
func (p *Pacing) Rate(session uint64) uint32 {
	if p.any.Load() == 0 || session == 0 {
		return 0
	}
	for probe := range min(pacingProbes, len(p.lines)) {
		if l := p.line(session, probe); l[0].Load() == session {
			return uint32(l[1].Load())
		}
	}
	return 0
}
