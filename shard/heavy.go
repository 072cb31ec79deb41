package shard

import (
	"cmp"
	"slices"
)

// heavy finds the keys that are read most, by Space-Saving over a sample: one
// GET in sampleEvery is counted; a key that is not among the counted ones takes
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
	y.total++
	least := 0
	for i := range y.hashes {
		if y.hashes[i] == g.Hash && y.counts[i] > 0 {
			y.counts[i]++
			return
		}
		if y.counts[i] < y.counts[least] {
			least = i
		}
	}
	row := &y.rows[least]
	y.hashes[least] = g.Hash
	row.wrong = y.counts[least]
	y.counts[least]++
	row.keyBytes = uint8(copy(row.key[:], g.Key))
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
