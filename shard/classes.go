package shard

import (
	"math/bits"
	"sort"
)

// slabLeadBytes are unused at the start of every slab, so that no slot has
// handle 0 and slots of 64 bytes are cache lines.
const slabLeadBytes = 64

// Slot sizes grow by 8 bytes while that is more than fineGrowth, then by the
// configured factor from coarseFromBytes on: small items dominate the count,
// and classes are cheap while slabs are many.
const (
	minSlotBytes    = 24
	fineGrowth      = 1.03
	coarseFromBytes = 512
)

// slabBytesFor chooses the slab size: 2 MiB for large shards, less for small
// ones, so that there are at least a hundred slabs to share between classes,
// but never less than the largest item.
func slabBytesFor(memoryBytes int64, maxItemBytes int) int {
	want := max(uint64(memoryBytes/128), uint64(64<<10), 1)
	size := 1 << (bits.Len64(want) - 1)
	for size-slabLeadBytes < maxItemBytes {
		size <<= 1
	}
	return min(max(size, 64<<10), 2<<20)
}

// slotSizes lists the classes' slot sizes: each the largest of which so many fit
// a slab, so that nothing is left over at a slab's end.
func slotSizes(slabBytes, maxItemBytes int, growth float64) []int {
	room := slabBytes - slabLeadBytes
	var sizes []int
	for want := minSlotBytes; ; {
		n := room / want
		size := room / n &^ 7
		sizes = append(sizes, size)
		if size >= maxItemBytes {
			return sizes
		}
		factor := growth
		if size < coarseFromBytes {
			factor = min(fineGrowth, growth)
		}
		want = max(size+8, int(float64(size)*factor)&^7)
		if want > room {
			want = room
		}
	}
}

// classFor returns the smallest class whose slots hold so many bytes.
func (s *Shard) classFor(bytes int) int {
	if bytes <= smallLookup {
		return int(s.classOfSmall[(bytes+7)/8])
	}
	return sort.SearchInts(s.sizes, bytes)
}

// smallLookup is up to where a table finds the class.
const smallLookup = 2048

func (s *Shard) buildLookup() {
	for i := range s.classOfSmall {
		s.classOfSmall[i] = uint16(min(sort.SearchInts(s.sizes, i*8), len(s.sizes)-1))
	}
}
