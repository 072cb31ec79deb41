package transport

import (
	"gannet/board"
	"gannet/replication"
)

const (
	// partBytes is about the size of a part of a repair.
	partBytes = 256 << 10
	// scanRecordsPerTurn bounds what is read of a scan in one turn of the driver.
	scanRecordsPerTurn = 2048
)

// repair is a scan of all shards for one follower, one shard after the other.
type repair struct {
	to, id uint64
	spans  []board.Span
	above  []uint64
	shard  int
	from   int      // first span of the request that stands
	asked  uint64   // id of that request; 0 = none stands
	begun  bool     // its beginning was seen: what comes now is not left of an earlier one
	wanted bool     // a piece is asked for
	upto   []uint64 // versions before the piece was read
	piece  []byte
	count  uint32
	ended  bool
}

// scanner carries out repairs, one at a time: a shard has one scan.
type scanner struct {
	scans   []*board.Scan
	current *repair
	queued  []*repair
	ready   map[uint64]*repair // by follower: its piece waits for SendPart
	lastID  uint64
}

func (s *scanner) attach(scans []*board.Scan, nowNanos int64) {
	s.scans, s.current, s.queued, s.ready = scans, nil, nil, map[uint64]*repair{}
	s.lastID = uint64(nowNanos) // no answer to an earlier driver's question is taken for one
}

// ask wants the next piece of a repair; the first begins it.
func (s *scanner) ask(a replication.Scan) {
	if r := s.find(a.To, a.ID); r != nil {
		r.wanted = true
		return
	}
	s.stop(a.To, 0)
	s.queued = append(s.queued, &repair{to: a.To, id: a.ID, spans: spansOf(a.Ranges), above: a.Above, wanted: true})
}

func (s *scanner) find(to, id uint64) *repair {
	if s.current != nil && s.current.to == to && s.current.id == id {
		return s.current
	}
	for _, r := range s.queued {
		if r.to == to && r.id == id {
			return r
		}
	}
	return nil
}

// stop ends a repair; id 0 ends any of that follower's.
func (s *scanner) stop(to, id uint64) {
	match := func(r *repair) bool { return r.to == to && (id == 0 || r.id == id) }
	if s.current != nil && match(s.current) {
		s.withdraw()
		s.current = nil
	}
	kept := s.queued[:0]
	for _, r := range s.queued {
		if !match(r) {
			kept = append(kept, r)
		}
	}
	s.queued = kept
	if r := s.ready[to]; r != nil && match(r) {
		delete(s.ready, to)
	}
}

// withdraw ends the scan that stands on the board.
func (s *scanner) withdraw() {
	if s.current.asked != 0 && s.current.shard < len(s.scans) {
		s.scans[s.current.shard].Ask(board.ScanRequest{})
	}
}

// turn reads what the shards show. versions returns the greatest that each has given.
func (s *scanner) turn(versions func() []uint64, report func(replication.Event)) (worked bool) {
	if s.current == nil {
		if len(s.queued) == 0 {
			return false
		}
		s.current, s.queued = s.queued[0], s.queued[1:]
	}
	r := s.current
	if !r.wanted {
		return false // its follower has a piece to work on
	}
	if r.upto == nil {
		r.upto = versions()
	}
	for !r.ended && len(r.piece) < partBytes {
		if !s.read(r) {
			return worked // the shard is at it
		}
		worked = true
	}
	r.wanted = false
	s.ready[r.to] = r
	report(replication.Scanned{To: r.to, ID: r.id, Bytes: len(r.piece), Records: r.count, Last: r.ended, Upto: r.upto})
	r.upto = nil
	if r.ended {
		s.current = nil
	}
	return true
}

// read takes some records of the scan that stands, or asks the next one. False when
// nothing is there.
func (s *scanner) read(r *repair) bool {
	if r.asked == 0 {
		return s.askNext(r)
	}
	results := s.scans[r.shard].Results
	var m board.Mutation
	for n := range scanRecordsPerTurn {
		ok, err := results.PeekMutation(&m)
		if err != nil {
			r.asked = 0 // torn: ask the same again
			return true
		}
		if !ok {
			return n > 0
		}
		end := r.begun && m.Kind == board.MutationScanEnd
		switch {
		case m.Kind == board.MutationScanBegin:
			r.begun = m.Version == r.asked
		case r.begun && !end:
			r.piece = m.Append(r.piece)
			r.count++
		}
		results.Pop()
		if end {
			s.advance(r)
			return true
		}
		if len(r.piece) >= partBytes {
			return true
		}
	}
	return true
}

// askNext asks the shard for the spans it has not shown.
func (s *scanner) askNext(r *repair) bool {
	if r.shard >= len(s.scans) || len(r.spans) == 0 {
		r.ended = true
		return true
	}
	s.lastID++
	request := board.ScanRequest{ID: s.lastID, Spans: r.spans[r.from:min(len(r.spans), r.from+board.MaxSpans)]}
	if r.shard < len(r.above) {
		request.Above = r.above[r.shard]
	}
	r.asked, r.begun = request.ID, false
	s.scans[r.shard].Ask(request)
	return true
}

// advance goes on to the next spans, or the next shard.
func (s *scanner) advance(r *repair) {
	r.asked = 0
	r.from += board.MaxSpans
	if r.from >= len(r.spans) {
		r.from = 0
		r.shard++
	}
	r.ended = r.shard >= len(s.scans)
}

// take hands out the piece that Scanned announced.
func (s *scanner) take(to, id uint64) (payload []byte, records uint32) {
	r := s.ready[to]
	if r == nil || r.id != id {
		return nil, 0
	}
	delete(s.ready, to)
	payload, records = r.piece, r.count
	r.piece, r.count = nil, 0
	return payload, records
}
