package bench

import "encoding/binary"

// assembly puts an answer together that memcached sent in several datagrams.
type assembly struct {
	number uint64 // of the request, as in its slot
	parts  int
	left   int
	seen   []bool
	bytes  []int  // of each part
	room   []byte // datagramBytes for each part
	whole  []byte
}

// assemblies are a lane's, by the slot of the request.
type assemblies struct {
	bySlot []*assembly
	free   []*assembly
}

// mostParts bounds what an answer may claim to consist of: 1 MiB and its lines.
const mostParts = 1024

func (a *assembly) begin(number uint64, parts int) {
	a.number, a.parts, a.left = number, parts, parts
	if cap(a.seen) < parts {
		a.seen, a.bytes, a.room = make([]bool, parts), make([]int, parts), make([]byte, parts*datagramBytes)
		a.whole = make([]byte, 0, parts*datagramBytes)
	}
	a.seen, a.bytes = a.seen[:parts], a.bytes[:parts]
	clear(a.seen)
}

// add takes a part; true when it was the last one missing.
func (a *assembly) add(part int, payload []byte) bool {
	if a.seen[part] {
		return false
	}
	a.seen[part] = true
	a.bytes[part] = copy(a.room[part*datagramBytes:(part+1)*datagramBytes], payload)
	a.left--
	return a.left == 0
}

// join returns the parts one behind the other.
func (a *assembly) join() []byte {
	a.whole = a.whole[:0]
	for part, n := range a.bytes {
		a.whole = append(a.whole, a.room[part*datagramBytes:][:n]...)
	}
	return a.whole
}

// of returns the assembly of a request.
func (all *assemblies) of(slots, at int, number uint64, parts int) *assembly {
	if all.bySlot == nil {
		all.bySlot = make([]*assembly, slots)
	}
	a := all.bySlot[at]
	if a == nil {
		if n := len(all.free); n > 0 {
			a, all.free = all.free[n-1], all.free[:n-1]
		} else {
			a = &assembly{}
		}
		all.bySlot[at] = a
	}
	if a.number != number || a.parts != parts {
		a.begin(number, parts)
	}
	return a
}

func (all *assemblies) release(at int) {
	all.free = append(all.free, all.bySlot[at])
	all.bySlot[at] = nil
}

// datagram takes one datagram of an answer.
func (c *memcached) datagram(w *worker, l *lane, data []byte) {
	if len(data) < udpHeaderBytes {
		w.strange(kindMalformed)
		return
	}
	id, part, parts := binary.BigEndian.Uint16(data), int(binary.BigEndian.Uint16(data[2:])), int(binary.BigEndian.Uint16(data[4:]))
	parts = max(parts, 1) // 0 in the datagrams that say nothing of a key that is not there
	payload := data[udpHeaderBytes:]
	sequence, s := l.pending.find16(id)
	switch {
	case part >= parts || parts > mostParts || len(payload) > datagramBytes:
		w.strange(kindMalformed)
	case s == nil: // late
	case parts == 1:
		c.whole(w, l, sequence, s, payload)
	default:
		at := l.pending.at(sequence)
		a := l.assemblies.of(len(l.pending.slots), at, s.number, parts)
		if a.add(part, payload) {
			c.whole(w, l, sequence, s, a.join())
			l.assemblies.release(at)
		}
	}
}

// whole reads what a datagram, or several put together, hold. That may be a part of
// the answer only: memcached 1.6 answers each key of a get by itself, as if there was
// no other, and says END in the last.
func (c *memcached) whole(w *worker, l *lane, sequence uint64, s *slot, answer []byte) {
	for number := s.number; s.number == number && len(answer) > 0; {
		n := c.answer(w, l, sequence, s, answer)
		if n == 0 {
			w.failRest(l, sequence, s, kindMalformed)
			return
		}
		answer = answer[n:]
	}
}
