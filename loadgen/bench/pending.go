package bench

// slot is a request on its way.
type slot struct {
	number   uint64 // 1 + sequence number; 0 = free
	intended int64  // the moment from which its latency counts
	sent     int64
	count    uint16 // operations
	left     uint16 // those without an answer, and the closings
	closings uint16 // answers of the protocol's own that follow those of the operations
	phase    phase
	write    bool
	failed   bool // one of its operations was answered with an error
}

// operations is how many operations have no answer yet.
func (s *slot) operations() int { return max(int(s.left)-int(s.closings), 0) }

// phase tells for which part of the run a request counts.
type phase uint8

const (
	phasePreload phase = iota
	phaseAround        // warm-up, and what is sent after the window
	phaseWindow
	phaseCount
)

// pending is a lane's ring of requests on their way, by sequence number. A request
// whose slot is needed for a younger one is lost.
type pending struct {
	slots []slot
	keys  []uint32 // of each slot, each
	got   []uint32 // bytes of each operation's long value so far; nil where values are short
	each  int
	next  uint64 // sequence number of the next request
	tail  uint64 // none before it is on its way
	open  int    // on their way
}

func newPending(slots, each int, long bool) pending {
	p := pending{slots: make([]slot, slots), keys: make([]uint32, slots*each), each: each}
	if long {
		p.got = make([]uint32, slots*each)
	}
	return p
}

func (p *pending) at(sequence uint64) int { return int(sequence & uint64(len(p.slots)-1)) }

// keysOf are the keys of the request in a slot, in the order of its operations.
func (p *pending) keysOf(sequence uint64, count int) []uint32 {
	from := p.at(sequence) * p.each
	return p.keys[from : from+count : from+p.each]
}

// answered marks a key number of pending.keys whose operation has its answer.
const answered = 1 << 31

// take returns the key of an operation that has no answer yet, and marks it; false
// when it has one, or there is no such operation.
func (p *pending) take(sequence uint64, s *slot, op int) (key uint32, ok bool) {
	if op >= int(s.count) {
		return 0, false
	}
	k := &p.keys[p.at(sequence)*p.each+op]
	if *k&answered != 0 {
		return 0, false
	}
	key = *k
	*k |= answered
	return key, true
}

// gotOf counts an operation's bytes.
func (p *pending) gotOf(sequence uint64, op int) *uint32 { return &p.got[p.at(sequence)*p.each+op] }

// start notes the next request. The slot still holds the one that it overtakes, if
// that was on its way: its number is not 0 then, and the caller counts it as lost
// before filling the slot.
func (p *pending) start() (sequence uint64, s *slot) {
	sequence = p.next
	p.next++
	return sequence, &p.slots[p.at(sequence)]
}

// begin fills the slot.
func (p *pending) begin(sequence uint64, s *slot, keys []uint32, closings int) {
	s.number = sequence + 1
	s.count, s.closings = uint16(len(keys)), uint16(closings)
	s.left = s.count + s.closings
	s.failed = false
	copy(p.keysOf(sequence, len(keys)), keys)
	if p.got != nil {
		for op := range keys {
			*p.gotOf(sequence, op) = 0
		}
	}
	p.open++
}

// find returns the request with a sequence number, or nil when it is not on its way.
func (p *pending) find(sequence uint64) *slot {
	s := &p.slots[p.at(sequence)]
	if s.number == 0 || s.number != sequence+1 {
		return nil
	}
	return s
}

// find16 is find by the lowest 16 bits.
func (p *pending) find16(low uint16) (sequence uint64, s *slot) {
	if p.next == 0 {
		return 0, nil
	}
	newest := p.next - 1
	back := uint64(uint16(newest) - low)
	if back > newest {
		return 0, nil
	}
	sequence = newest - back
	return sequence, p.find(sequence)
}

// end frees a slot.
func (p *pending) end(s *slot) {
	s.number = 0
	p.open--
}

// oldest is the request that has been on its way for the longest; nil when none is.
func (p *pending) oldest() (sequence uint64, s *slot) {
	for ; p.tail < p.next; p.tail++ {
		if s := p.find(p.tail); s != nil {
			return p.tail, s
		}
	}
	return 0, nil
}
