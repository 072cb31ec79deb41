package shard

// pins counts the replies in flight that read from a slot. A pinned slot is
// neither reused nor moved; if its item goes away, the last Unpin frees it.
// Open addressing, linear probing, no tombstones.
type pins struct {
	rows  []pin // a power of two
	count int
}

type pin struct {
	h     Handle
	count uint32
	freed bool
}

func (p *pins) len() int { return p.count }

func (p *pins) start(h Handle) int {
	return int(uint64(h) * oddMultiplier >> 32 & uint64(len(p.rows)-1))
}

// find returns the row of h, or the vacant one where it would go.
func (p *pins) find(h Handle) int {
	i := p.start(h)
	for p.rows[i].h != 0 && p.rows[i].h != h {
		i = (i + 1) & (len(p.rows) - 1)
	}
	return i
}

func (p *pins) has(h Handle) bool { return p.count > 0 && p.rows[p.find(h)].h == h }

// markFreed notes that the item of a pinned slot is gone; false if not pinned.
func (p *pins) markFreed(h Handle) bool {
	row := &p.rows[p.find(h)]
	row.freed = row.h == h
	return row.freed
}

// remove takes a row out and closes the gap.
func (p *pins) remove(i int) {
	mask := len(p.rows) - 1
	for j := (i + 1) & mask; p.rows[j].h != 0; j = (j + 1) & mask {
		if home := p.start(p.rows[j].h); (j-home)&mask >= (j-i)&mask {
			p.rows[i] = p.rows[j]
			i = j
		}
	}
	p.rows[i] = pin{}
	p.count--
}

// Pin keeps the slot of an item as it is until Unpin, however often it was
// pinned. It returns false when too many are pinned: copy the value then.
func (s *Shard) Pin(h Handle) bool {
	if h == 0 || s.pins.count >= len(s.pins.rows)/2 {
		return false
	}
	i := s.pins.find(h)
	row := &s.pins.rows[i]
	if row.h == 0 {
		*row = pin{h: h}
		s.pins.count++
		s.slabOf(h).pins++
	}
	row.count++
	return true
}

// Unpin takes back one Pin.
func (s *Shard) Unpin(h Handle) {
	if !s.pins.has(h) {
		return
	}
	i := s.pins.find(h)
	row := &s.pins.rows[i]
	if row.count--; row.count > 0 {
		return
	}
	freed := row.freed
	s.pins.remove(i)
	s.slabOf(h).pins--
	if freed {
		s.recycle(h)
	}
}

// isPinned also protects the item that the current write reads from.
func (s *Shard) isPinned(h Handle) bool { return h == s.guard || s.pins.has(h) }
