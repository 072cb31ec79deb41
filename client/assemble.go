package client

import "math/bits"

// unitBytes is the grid of the parts of a long value: every part begins on it,
// and every part but the last ends on it.
const unitBytes = 1024

// maxAssembledBytes bounds what a reply can make a client allocate: the longest
// value any node can be configured to hold.
const maxAssembledBytes = 1 << 20

// part is one piece of a value as a reply brings it.
type part struct {
	version     uint64
	totalBytes  int
	offsetBytes int
	data        []byte
}

// whole says whether the part is the value.
func (p *part) whole() bool { return p.offsetBytes == 0 && len(p.data) == p.totalBytes }

// wellFormed says whether the part lies on the grid and inside its value.
func (p *part) wellFormed() bool {
	end := p.offsetBytes + len(p.data)
	switch {
	case p.totalBytes > maxAssembledBytes || end > p.totalBytes:
		return false
	case p.whole():
		return true
	case p.offsetBytes%unitBytes != 0 || len(p.data) == 0:
		return false
	}
	return end == p.totalBytes || end%unitBytes == 0
}

// assembly puts a value together from parts that arrive in any order, some
// twice. It is a pure step function; the zero value is empty.
//
// All parts are of one version: a part of a newer version starts over, a part of
// an older one is late and ignored.
type assembly struct {
	version      uint64
	totalBytes   int
	missingUnits int
	begun        bool
	endSeen      bool // the last part is here: holes before it are losses, mostly
	have         [maxAssembledBytes / unitBytes / 64]uint64
}

// accept takes in a part and returns the value's memory, grown when needed.
// fresh is false for a part that changed nothing.
func (a *assembly) accept(p *part, value []byte) (grown []byte, fresh bool) {
	if !p.wellFormed() {
		return value, false
	}
	if !a.begun || p.version > a.version {
		value = a.begin(p, value)
	}
	if p.version != a.version || p.totalBytes != a.totalBytes {
		return value, false
	}
	copy(value[p.offsetBytes:], p.data)
	a.endSeen = a.endSeen || p.offsetBytes+len(p.data) == a.totalBytes
	return value, a.mark(p)
}

// begin starts over for the value that p is a part of.
func (a *assembly) begin(p *part, value []byte) []byte {
	*a = assembly{
		version: p.version, totalBytes: p.totalBytes, begun: true,
		missingUnits: units(p.totalBytes),
	}
	if cap(value) < p.totalBytes {
		return make([]byte, p.totalBytes)
	}
	return value[:p.totalBytes]
}

// mark notes the units of p and says whether any was new.
func (a *assembly) mark(p *part) bool {
	first, last := p.offsetBytes/unitBytes, units(p.offsetBytes+len(p.data))
	before := a.missingUnits
	for unit := first; unit < last; unit++ {
		word, bit := unit/64, uint64(1)<<(unit%64)
		if a.have[word]&bit == 0 {
			a.have[word] |= bit
			a.missingUnits--
		}
	}
	return a.missingUnits != before || p.totalBytes == 0
}

// complete says whether every unit is here.
func (a *assembly) complete() bool { return a.begun && a.missingUnits == 0 }

// gap returns the first missing range at or after fromBytes.
func (a *assembly) gap(fromBytes int) (offsetBytes, lengthBytes int, ok bool) {
	total := units(a.totalBytes)
	first := a.scan(fromBytes/unitBytes, total, 0)
	if first >= total {
		return 0, 0, false
	}
	last := a.scan(first, total, ^uint64(0))
	offsetBytes = first * unitBytes
	return offsetBytes, min(last*unitBytes, a.totalBytes) - offsetBytes, true
}

// scan returns the first unit from from on whose bit differs from skip's
// complement: skip 0 looks for a missing unit, ^0 for one that is here.
func (a *assembly) scan(from, total int, skip uint64) int {
	for unit := from; unit < total; {
		word := (a.have[unit/64] ^ ^skip) >> (unit % 64)
		if word != 0 {
			return min(unit+bits.TrailingZeros64(word), total)
		}
		unit += 64 - unit%64
	}
	return total
}

// reset forgets everything, because the node no longer has that version.
func (a *assembly) reset() { *a = assembly{} }

func units(bytes int) int { return (bytes + unitBytes - 1) / unitBytes }
