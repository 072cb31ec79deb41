package shard

import (
	"cmp"
	"slices"
)

// heavy finds the keys that are read most, by Space-Saving over a sample: one
// GET in sampleEvery is counted, and those answered elsewhere in proportion; a key that is not among the counted ones takes
// the place of the smallest and starts from its count, noted as error. Counts
// are halved every decaySeconds, so that yesterday's favourites fade.
type heavy struct {
	hashes  [heavyRows]uint64
	counts  [heavyRows]uint64
	rows    [heavyRows]heavyRow
	skip    uint32
	random  uint64
	total   uint64 // sampled, decayed like the counts
	decayed uint32 // second of the last decay
}

type heavyRow struct {
	wrong    uint64 // of the count, at most so much belongs to predecessors
	keyBytes uint8
	key      [MaxKeyBytes]byte
}

const (
	heavyRows    = 128
	sampleEvery  = 64
	decaySeconds = 8
)

// sampleAll is sample for each of gets.
func (y *heavy) sampleAll(gets []Get) {
	for y.skip < uint32(len(gets)) {
		g := &gets[y.skip]
		gets, y.skip = gets[y.skip+1:], 0
		y.sample(g)
	}
	y.skip -= uint32(len(gets))
}

// sample counts a GET now and then. The gaps vary, so that a client's pattern
// cannot hide from it.
func (y *heavy) sample(g *Get) {
	if y.skip > 0 {
		y.skip--
		return
	}
	y.random += oddMultiplier
	y.skip = uint32(mix(y.random) % (2*sampleEvery - 1))
	if len(g.Key) == 0 || len(g.Key) > MaxKeyBytes {
		return
	}
	y.count(g.Hash, g.Key, 1)
}

// count adds n sampled GETs of a key.
func (y *heavy) count(hash uint64, key []byte, n uint64) {
	y.total += n
	for i, h := range &y.hashes {
		if h == hash && y.counts[i] > 0 {
			y.counts[i] += n
			return
		}
	}
	least := y.least()
	row := &y.rows[least]
	y.hashes[least] = hash
	row.wrong = y.counts[least]
	y.counts[least] += n
	row.keyBytes = uint8(copy(row.key[:], key))
}

// least is the first row with the smallest count.
func (y *heavy) least() (row int) {
	fewest := y.counts[0]
	for _, count := range &y.counts {
		fewest = min(fewest, count)
	}
	for y.counts[row] != fewest {
		row++
	}
	return row
}

func (y *heavy) decay(second uint32) {
	if second < y.decayed+decaySeconds {
		return
	}
	y.decayed = second
	y.total /= 2
	for i := range y.rows {
		y.counts[i] /= 2
		y.rows[i].wrong /= 2
	}
}

// Rate is about how many GETs a second a count stands for: it holds what was sampled
// since the last halving but one, in part.
func (h *Hot) Rate() uint64 { return h.Count * sampleEvery * 2 / (3 * decaySeconds) }

// Heavy appends the heavy hitters to dst, the most read first. Only keys whose
// count is certain to be above the noise are among them.
func (s *Shard) Heavy(dst []Hot) []Hot {
	y, from := &s.heavy, len(dst)
	for i := range y.rows {
		row := &y.rows[i]
		count := y.counts[i]
		sure := count - row.wrong
		if sure < 2 || sure*4*heavyRows < y.total {
			continue
		}
		hot := Hot{Hash: y.hashes[i], Key: row.key[:row.keyBytes], Count: count, Share: float64(count) / float64(y.total)}
		hot.Handle, _ = s.lookup(mix(hot.Hash), hot.Key)
		dst = append(dst, hot)
	}
	slices.SortFunc(dst[from:], func(a, b Hot) int { return cmp.Compare(b.Count, a.Count) })
	return dst
}

// Published is an item as somebody else needs it who answers GETs of it. Times
// are ticks of an eighth of a second since OriginNanos; slices are borrowed until
// the next mutation of the shard.
type Published struct {
	Hash         uint64
	Version      uint64
	OriginNanos  int64 // boot clock
	ExpiresTick  uint32
	SoftTick     uint32 // NeverTick: none; the same for ExpiresTick
	StoredSecond uint32
	CRC          uint32 // CRC32C of the value
	Sum          uint16 // one's-complement sum of the value
	Key          []byte
	Value        []byte
}

// NeverTick is the tick of an expiry that does not come.
const NeverTick = never

// Show fills in an item of at most UnitBytes for publication. False when there is
// none, or none that may be answered without asking the shard. It is no use of
// the item.
func (s *Shard) Show(hash uint64, key []byte, nowNanos int64, p *Published) bool {
	s.begin(nowNanos)
	h, _ := s.lookup(mix(hash), key)
	if h == 0 {
		return false
	}
	head := s.mem.head(h)
	word := head.word
	if word&genMask != s.gen && !s.verifyItem(h) || s.expired(h, word) || valueLen(word) > UnitBytes {
		return false
	}
	*p = Published{
		Hash: hash, Version: head.version, OriginNanos: s.super.originNanos, ExpiresTick: never, SoftTick: never,
		StoredSecond: uint32(word >> storedShift & storedMask), Key: s.mem.key(h, word), Value: s.mem.value(h, word),
	}
	if word&flagTTL != 0 {
		p.ExpiresTick = *s.mem.expires(h, word)
	}
	if word&flagSoft != 0 {
		p.SoftTick = *s.mem.soft(h, word)
	}
	if len(p.Value) > 0 {
		it := Item{Value: p.Value, table: s.mem.table(h, word)}
		p.CRC, p.Sum = it.CRC(0), it.Sum(0)
	}
	return p.SoftTick == never || s.tick < p.SoftTick
}

// NoteUses tells the shard of GETs that were answered elsewhere: they count with
// the eviction policy, and with the heavy hitters as if they had been sampled. It
// returns how many are left over for the next time.
func (s *Shard) NoteUses(hash uint64, key []byte, uses uint64) (left uint64) {
	if uses == 0 || len(key) == 0 || len(key) > MaxKeyBytes {
		return 0
	}
	if sampled := uses / sampleEvery; sampled > 0 {
		s.heavy.count(hash, key, sampled)
	}
	if h, _ := s.lookup(mix(hash), key); h != 0 {
		if sl := s.slabOf(h); s.adopting == 0 || sl.knows(h) {
			for range min(uses, policyHits) {
				s.classes[sl.class].policy.Hit(h)
			}
		}
	}
	return uses % sampleEvery
}

// policyHits is as far as any policy counts.
const policyHits = 3
