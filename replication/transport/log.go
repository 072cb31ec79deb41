package transport

import (
	"sort"

	"gannet/board"
	"gannet/replication"
)

const (
	// A piece ends with the turn of the driver, or here.
	pieceBytes = 64 << 10
	// recordsPerTurn bounds what is read of one log in one turn of the driver.
	recordsPerTurn = 4096
	// settleNanos is how much later than the beginning of following a shard's beat
	// must be, for its version to mark where the log begins.
	settleNanos = int64(1e6)
)

// piece is a run of mutations of one shard; the last one's version is upto.
type piece struct {
	upto  uint64
	bytes []byte // mutations as they travel
}

// logReader reads one shard's log and keeps what followers may still need.
type logReader struct {
	shard  uint16
	queue  *board.Queue
	window []piece // in the order of their positions

	// Where the log begins is known once the shard has beaten after following began.
	known       bool
	followNanos int64
	lost        uint64
	skipTo      uint64 // mutations up to here stand in LogAt already

	emptyNanos int64  // the log was seen empty last
	open       []byte // mutations after the last with a position of its own
	glancing   bool   // read for the sake of Config.Wrote alone
	wrote      func(*board.Mutation)
	missed     func() // records were lost
	hints      []byte // read in this turn
	hintCount  uint32
}

// attach begins to read the log of another mapping.
func (r *logReader) attach(q *board.Queue, nowNanos int64) {
	r.queue = q
	r.begin(nowNanos)
}

// begin reads from now on: what came before is lost to followers, and they will be
// repaired.
func (r *logReader) begin(nowNanos int64) {
	r.queue.Follow(true)
	r.glancing = false
	r.known, r.followNanos, r.lost = false, nowNanos, r.queue.Lost()
	r.window, r.open, r.emptyNanos = nil, nil, 0
}

// read takes what stands in the log and reports it.
func (r *logReader) read(beat *board.Heartbeat, nowNanos int64, report func(replication.Event)) {
	if r.queue.Lost() != r.lost {
		r.missed()
		r.begin(nowNanos)
	}
	if !r.known && !r.settle(beat, report) {
		return
	}
	current := piece{bytes: r.open}
	r.hints, r.hintCount = r.hints[:0], 0
	born := r.emptyNanos
	empty := false
	var m board.Mutation
	for range recordsPerTurn {
		ok, err := r.queue.PeekMutation(&m)
		if err != nil {
			r.missed()
			r.begin(nowNanos)
			return
		}
		if !ok {
			empty = true
			break
		}
		r.take(&m, &current, born, report)
		r.wrote(&m)
		r.queue.Pop()
	}
	r.end(&current, born, report)
	if empty {
		r.emptyNanos = nowNanos
		report(replication.LogRead{Shard: r.shard, AtNanos: nowNanos})
	}
}

// settle finds out where the log begins.
func (r *logReader) settle(beat *board.Heartbeat, report func(replication.Event)) bool {
	if beat.Nanos() < r.followNanos+settleNanos {
		return false
	}
	r.known, r.skipTo, r.emptyNanos = true, beat.Version(), r.followNanos
	report(replication.LogAt{Shard: r.shard, Upto: r.skipTo})
	return true
}

// take adds one mutation to the piece, or to the hints.
func (r *logReader) take(m *board.Mutation, current *piece, born int64, report func(replication.Event)) {
	switch m.Kind {
	case board.MutationPut, board.MutationDelete:
		if m.Version <= r.skipTo {
			return
		}
		if current.upto != 0 && m.Version>>40 != current.upto>>40 {
			r.close(current, born, report) // a piece is of one epoch
		}
		current.bytes = m.Append(current.bytes)
		current.upto = m.Version
		r.skipTo = m.Version
		if len(current.bytes) >= pieceBytes {
			r.close(current, born, report)
		}
	case board.MutationTouch:
		// It has no version of its own, so it cannot end a piece: it goes with the next
		// write, and as a hint besides, should there be none for long.
		current.bytes = m.Append(current.bytes)
		r.hint(m)
	case board.MutationEvict, board.MutationExpire, board.MutationReference:
		r.hint(m)
	}
}

func (r *logReader) hint(m *board.Mutation) {
	r.hints = m.Append(r.hints)
	r.hintCount++
}

// end closes the piece of this turn; touches behind the last write wait for the next.
func (r *logReader) end(current *piece, born int64, report func(replication.Event)) {
	if current.upto != 0 {
		r.close(current, born, report)
	}
	r.open = current.bytes
	if r.hintCount > 0 {
		report(replication.Hinted{Shard: r.shard, Records: r.hintCount})
	}
}

func (r *logReader) close(current *piece, born int64, report func(replication.Event)) {
	r.window = append(r.window, *current)
	bytes := len(current.bytes)
	*current = piece{}
	report(replication.Appended{Shard: r.shard, Upto: r.window[len(r.window)-1].upto, Bytes: bytes, BornNanos: born})
}

// retain lets go of the pieces up to a position. The window is long: nothing moves, the
// room in front is left behind when append makes the next.
func (r *logReader) retain(upto uint64) {
	gone := r.beyond(upto)
	clear(r.window[:gone])
	r.window = r.window[gone:]
}

// beyond is the index of the first piece beyond a position.
func (r *logReader) beyond(position uint64) int {
	return sort.Search(len(r.window), func(i int) bool { return r.window[i].upto > position })
}

// batch appends the mutations after a position, up to another, that are of some
// ranges.
func (r *logReader) batch(dst []byte, after, upto uint64, ranges replication.RangeSet) (_ []byte, records uint32) {
	for _, p := range r.window[r.beyond(after):] {
		if p.upto > upto {
			break
		}
		var n uint32
		dst, n = appendOf(dst, p.bytes, ranges)
		records += n
	}
	return dst, records
}

// appendOf appends the mutations of b that concern some ranges. Of references only
// those of the ranges stay.
func appendOf(dst, b []byte, ranges replication.RangeSet) (_ []byte, records uint32) {
	var m board.Mutation
	for len(b) > 0 {
		rest, err := board.NextMutation(b, &m)
		if err != nil {
			return dst, records // not reached: it was written here
		}
		if m.Kind == board.MutationReference {
			m.Value = referencesOf(&m, ranges)
			if len(m.Value) > 0 {
				dst = m.Append(dst)
				records++
			}
		} else if ranges.Contains(m.Hash) {
			dst = append(dst, b[:len(b)-len(rest)]...)
			records++
		}
		b = rest
	}
	return dst, records
}

func referencesOf(m *board.Mutation, ranges replication.RangeSet) (value []byte) {
	for i := range m.References() {
		if hash := m.ReferenceHash(i); ranges.Contains(hash) {
			value = board.AppendReference(value, hash)
		}
	}
	return value
}
