package shard

// pins counts the replies in flight that read from a slot. A pinned slot is
// neither reused nor moved; if its item goes away, the last Unpin frees it.
// Open addressing, linear probing, no tombstones.
type pins struct {
	rows  []pin // a power of two
	count int
	rooms int // rows whose room is in use
}

type pin struct {
	h     Handle
	count uint32
	freed bool
	room  bool // the header room is in use
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
	row := s.pinRow(h)
	if row == nil {
		return false
	}
	row.count++
	return true
}

// pinRow returns the row of h, a new one if need be; nil when there are too many.
func (s *Shard) pinRow(h Handle) *pin {
	if h == 0 || s.pins.count >= len(s.pins.rows)/2 {
		return nil
	}
	row := &s.pins.rows[s.pins.find(h)]
	if row.h == 0 {
		*row = pin{h: h}
		s.pins.count++
		s.slabOf(h).pins++
	}
	return row
}

// Unpin takes back one Pin.
func (s *Shard) Unpin(h Handle) {
	if s.pins.count == 0 {
		return
	}
	if i := s.pins.find(h); s.pins.rows[i].h == h {
		s.unpinRow(i)
	}
}

func (s *Shard) unpinRow(i int) {
	row := &s.pins.rows[i]
	if row.count--; row.count > 0 {
		return
	}
	h := row.h
	freed := row.freed
	s.pins.remove(i)
	s.slabOf(h).pins--
	if freed {
		s.recycle(h)
	}
}

// HeaderRoom is how many bytes are kept free in front of an item's value.
func (s *Shard) HeaderRoom(h Handle) int {
	if h == 0 || valueLen(s.mem.head(h).word) < s.mem.roomFrom {
		return 0
	}
	return s.mem.room
}

// HasHeaderRoom says whether there is room in front of values of that length.
func (s *Shard) HasHeaderRoom(valueBytes int) bool {
	return valueBytes >= s.mem.roomFrom && s.mem.room != 0
}

// TakeRoom pins an item and gives its header room to the caller, until ReturnRoom:
// one reply at a time can have its headers there. False when another one has it,
// when there is none, or when too many items are pinned.
func (s *Shard) TakeRoom(h Handle) bool {
	if s.HeaderRoom(h) == 0 {
		return false
	}
	row := s.pinRow(h)
	if row == nil || row.room {
		return false
	}
	row.count++
	row.room = true
	s.pins.rooms++
	return true
}

// ReturnRoom takes back one TakeRoom.
func (s *Shard) ReturnRoom(h Handle) {
	if s.pins.count == 0 {
		return
	}
	if i := s.pins.find(h); s.pins.rows[i].h == h && s.pins.rows[i].room {
		s.pins.rows[i].room = false
		s.pins.rooms--
		s.unpinRow(i)
	}
}

// UnpinAll takes back every Pin and TakeRoom: of a port that is gone, once nobody
// reads slots any more.
func (s *Shard) UnpinAll() {
	for i := range s.pins.rows {
		for s.pins.rows[i].h != 0 { // what Unpin takes out may let another row move here
			row := &s.pins.rows[i]
			if row.room {
				row.room = false
				s.pins.rooms--
			}
			row.count = 1
			s.unpinRow(i)
		}
	}
}

// RoomsTaken is how many slots are with the port: their replies are in flight.
func (s *Shard) RoomsTaken() int { return s.pins.rooms }

// isPinned also protects the item that the current write reads from.
func (s *Shard) isPinned(h Handle) bool { return h == s.guard || s.pins.has(h) }
