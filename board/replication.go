package board

import "sync/atomic"

// Span is a range of key hashes, both ends included.
type Span struct{ From, To uint64 }

// MaxSpans is how many spans a list on the board has room for. Whoever has more
// merges the nearest ones, or asks in several goes.
const MaxSpans = 4096

const spanBytes = 16

// Replication is what replication tells the shards. Writer: control process.
//
//	word 0  generation: how often the spans were published; slot = generation mod 2
//	word 1  moment after which acknowledgements are degraded; 0: nothing is replicated
//	line 1… slot 0, slot 1: records of the numbers of held, degraded, lacking and spare spans (32 bits
//	        each), and the spans in that order
type Replication struct {
	words []atomic.Uint64
	slots [2]record
}

const (
	spanNumbersBytes     = 16
	replicationDataBytes = spanNumbersBytes + 4*MaxSpans*spanBytes
)

func replicationStride() int64 {
	return lineBytes + 2*((recordStride(replicationDataBytes)+lineBytes-1)&^(lineBytes-1))
}

// Replication returns its area.
func (b *Board) Replication() *Replication {
	w := b.words(AreaReplication, 0)
	slots := w[8:]
	half := len(slots) / 2
	return &Replication{words: w[:8], slots: [2]record{{slots[:half]}, {slots[half : 2*half]}}}
}

// Publish puts four lists up: spans that this node leads and must not write yet, spans
// whose writes no follower gets, spans that this node follows and does not have whole,
// and spans that it follows in the place of a node that is down. More than MaxSpans in
// one of them make it fail.
func (g *Replication) Publish(held, degraded, lacking, spare []Span) bool {
	if max(len(held), len(degraded), len(lacking), len(spare)) > MaxSpans {
		return false
	}
	data := make([]byte, spanNumbersBytes, spanNumbersBytes+(len(held)+len(degraded)+len(lacking)+len(spare))*spanBytes)
	storeUint64(data, uint64(len(held))|uint64(len(degraded))<<32)
	storeUint64(data[8:], uint64(len(lacking))|uint64(len(spare))<<32)
	data = appendSpans(appendSpans(appendSpans(appendSpans(data, held), degraded), lacking), spare)
	next := g.words[0].Load() + 1
	g.slots[next%2].write(data)
	g.words[0].Store(next)
	return true
}

// Generation changes with every Publish: a cheap look. 0 = nothing was published.
func (g *Replication) Generation() uint64 { return g.words[0].Load() }

// SpanLists are the lists that Publish puts up.
type SpanLists struct {
	Held, Degraded, Lacking, Spare []Span

	room []byte
}

// Read reads the lists into l, whose memory it uses again. False when there are none.
func (g *Replication) Read(l *SpanLists) bool {
	for range readAttempts {
		generation := g.words[0].Load()
		if generation == 0 {
			return false
		}
		data, ok := g.slots[generation%2].read(l.room[:0])
		if l.room = data; !ok || g.words[0].Load() != generation || len(data) < spanNumbersBytes {
			continue
		}
		first, second, rest := loadUint64(data), loadUint64(data[8:]), data[spanNumbersBytes:]
		l.Held, rest = takeSpans(l.Held[:0], rest, uint32(first))
		l.Degraded, rest = takeSpans(l.Degraded[:0], rest, uint32(first>>32))
		l.Lacking, rest = takeSpans(l.Lacking[:0], rest, uint32(second))
		l.Spare, _ = takeSpans(l.Spare[:0], rest, uint32(second>>32))
		return true
	}
	return false
}

// SetSync says until when acknowledgements are good without the degraded mark.
func (g *Replication) SetSync(untilNanos int64) { g.words[1].Store(uint64(untilNanos)) }

// SyncNanos returns that moment; 0: nothing is replicated.
func (g *Replication) SyncNanos() int64 { return int64(g.words[1].Load()) }

// Replicated is the version up to which a shard's writes have reached every follower
// in sync. Writer: control process.
type Replicated struct{ word *atomic.Uint64 }

// Replicated returns a shard's word.
func (b *Board) Replicated(shard int) *Replicated {
	return &Replicated{&b.words(AreaReplicated, shard)[0]}
}

// Set moves it.
func (r *Replicated) Set(version uint64) { r.word.Store(version) }

// Upto returns it.
func (r *Replicated) Upto() uint64 { return r.word.Load() }

func appendSpans(dst []byte, spans []Span) []byte {
	for _, s := range spans {
		var b [spanBytes]byte
		storeUint64(b[:], s.From)
		storeUint64(b[8:], s.To)
		dst = append(dst, b[:]...)
	}
	return dst
}

// takeSpans reads so many spans, and returns what comes after them.
func takeSpans(dst []Span, data []byte, number uint32) (spans []Span, rest []byte) {
	end := min(int(number)*spanBytes, len(data))
	return readSpans(dst, data[:end]), data[end:]
}

func readSpans(dst []Span, data []byte) []Span {
	for ; len(data) >= spanBytes; data = data[spanBytes:] {
		dst = append(dst, Span{loadUint64(data), loadUint64(data[8:])})
	}
	return dst
}

// InSpans tells whether one of the spans, which are in ascending order and none over
// another, has the key hash.
func InSpans(spans []Span, hash uint64) bool {
	low, high := 0, len(spans)
	for low < high {
		if mid := int(uint(low+high) / 2); spans[mid].To < hash {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low < len(spans) && spans[low].From <= hash
}
