package shard

import (
	"unsafe"

	"gannet/shard/evict"
)

// memory is the slab region, addressed by handles. All pointer arithmetic over
// slabs is here.
type memory struct {
	base unsafe.Pointer
	layout
}

func newMemory(mem []byte, l layout) memory {
	return memory{unsafe.Pointer(unsafe.SliceData(mem)), l}
}

func (m *memory) at(h Handle) unsafe.Pointer { return unsafe.Add(m.base, uintptr(h)<<3) }

func (m *memory) head(h Handle) *header { return (*header)(m.at(h)) }

// bytes returns n bytes of the slot from offset on.
func (m *memory) bytes(h Handle, offset, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(m.at(h), offset)), n)
}

// prefetchHeads asks for the beginnings of slots: header, key, and most of a small
// value. A handle of 0 does no harm.
func (m *memory) prefetchHeads(handles []Handle) {
	prefetchSlots(m.base, unsafe.SliceData(handles), len(handles))
}

// prefetchSet asks for rows that lie side by side, up to four lines of them.
func prefetchSet[T any](rows []T) {
	first := unsafe.Pointer(unsafe.SliceData(rows))
	prefetch3(first)
	prefetch(unsafe.Add(first, len(rows)*int(unsafe.Sizeof(rows[0]))-1))
}

// prefetchLine asks for the line that begins at p.
func prefetchLine[T any](p *T) { prefetch(unsafe.Pointer(p)) }

func (m *memory) links(h Handle) *evict.Links {
	return (*evict.Links)(unsafe.Add(m.at(h), fixedHeadBytes))
}

func (m *memory) key(h Handle, word uint64) []byte {
	return m.bytes(h, m.keyOffset(word), keyLen(word))
}

func (m *memory) value(h Handle, word uint64) []byte {
	return m.bytes(h, m.valueOffset(word), valueLen(word))
}

func (m *memory) table(h Handle, word uint64) []byte {
	return m.bytes(h, m.keyOffset(word)+keyLen(word), sumBytes(valueLen(word)))
}

// body is table and value.
func (m *memory) body(h Handle, word uint64) (table, value []byte) {
	n := valueLen(word)
	sums := sumBytes(n)
	at := unsafe.Add(m.at(h), m.keyOffset(word)+keyLen(word))
	table = unsafe.Slice((*byte)(at), sums)
	if n >= m.roomFrom {
		sums += m.room
	}
	return table, unsafe.Slice((*byte)(unsafe.Add(at, sums)), n)
}

// expires is only for items with flagTTL.
func (m *memory) expires(h Handle, word uint64) *uint32 {
	at := m.keyOffset(word) - 4
	if word&flagSoft != 0 {
		at -= 4
	}
	return (*uint32)(unsafe.Add(m.at(h), at))
}

// soft is only for items with flagSoft.
func (m *memory) soft(h Handle, word uint64) *uint32 {
	return (*uint32)(unsafe.Add(m.at(h), m.keyOffset(word)-4))
}

// keyIs compares the item's key.
func (m *memory) keyIs(h Handle, word uint64, key []byte) bool {
	return keyLen(word) == len(key) && sameBytes(unsafe.Add(m.at(h), m.keyOffset(word)), unsafe.Pointer(unsafe.SliceData(key)), len(key))
}

// sameBytes compares n bytes, in words: a call that finds out how to costs more than to
// compare a key.
func sameBytes(a, b unsafe.Pointer, n int) bool {
	if n < 8 {
		return string(unsafe.Slice((*byte)(a), n)) == string(unsafe.Slice((*byte)(b), n))
	}
	for at := 0; at < n-8; at += 8 {
		if *(*uint64)(unsafe.Add(a, at)) != *(*uint64)(unsafe.Add(b, at)) {
			return false
		}
	}
	return *(*uint64)(unsafe.Add(a, n-8)) == *(*uint64)(unsafe.Add(b, n-8)) // may overlap the word before
}

// bucket is one cache line of the index: ten entries of a 16-bit tag and a
// handle. meta is overflow:16 | distance:8: how many entries whose home this is
// live in buckets after it, and how far away they were at most.
type bucket struct {
	tags    [bucketSlots]uint16
	meta    uint32
	handles [bucketSlots]Handle
}

const (
	bucketSlots = 10
	bucketBytes = 64
)

// The layouts are pinned: a bucket is one cache line, a header two words.
var (
	_ [bucketBytes]byte     = [unsafe.Sizeof(bucket{})]byte{}
	_ [fixedHeadBytes]byte  = [unsafe.Sizeof(header{})]byte{}
	_ [timerBlockBytes]byte = [unsafe.Sizeof(timerBlock{})]byte{}
	_ [bucketBytes]byte     = [unsafe.Sizeof(recentLine{})]byte{}
)

// A rewrite's note lies behind the superblock, in the same page.
var (
	_ [noteOffset - unsafe.Sizeof(superblock{})]byte
	_ [superBytes - noteOffset - unsafe.Sizeof(rewriteNote{})]byte
)

// match returns a bit for each slot with the tag, used or not. It compares four
// tags at a time: a lane of x is zero where the tags are equal.
func (b *bucket) match(tag uint16) uint32 {
	words := (*[3]uint64)(unsafe.Pointer(b))
	pattern := uint64(tag) * lanes
	return zeroLanes(words[0]^pattern) | zeroLanes(words[1]^pattern)<<4 | zeroLanes(words[2]^pattern)&3<<8
}

// anyMatch is match for those who need one slot: 0 says that there is none, else the
// lowest bit set is 16 × lane + word of a slot with the tag. A borrow can make lanes
// above a zero lane look like one, but never the lowest bit.
func (b *bucket) anyMatch(tag uint16) uint64 {
	words := (*[3]uint64)(unsafe.Pointer(b))
	pattern := uint64(tag) * lanes
	x, y, z := words[0]^pattern, words[1]^pattern, words[2]^pattern
	x, y, z = (x-lanes)&^x&laneTop, (y-lanes)&^y&laneTop, (z-lanes)&^z&(laneTop&0xFFFF_FFFF)
	return x>>15 | y>>14 | z>>13
}

const (
	laneTop  = 0x8000_8000_8000_8000
	lanes    = 0x0001_0001_0001_0001
	laneLow  = 0x7FFF_7FFF_7FFF_7FFF
	gathered = 1<<48 | 1<<33 | 1<<18 | 1<<3
)

// zeroLanes returns bit i for each 16-bit lane i that is zero.
func zeroLanes(x uint64) uint32 {
	high := ^((x&laneLow + laneLow) | x | laneLow)
	return uint32(high>>15*gathered>>48) & 15
}

func bucketsOf(mem []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(mem)) }

func bucketAt(base unsafe.Pointer, i uint64) *bucket {
	return (*bucket)(unsafe.Add(base, i*bucketBytes))
}

// bucketPlace is where a bucket is, for prefetch.
func bucketPlace(base unsafe.Pointer, i uint64) unsafe.Pointer {
	return unsafe.Add(base, i*bucketBytes)
}

// overlay gives the superblock its place in the mapped file.
func overlay(mem []byte) *superblock { return (*superblock)(unsafe.Pointer(unsafe.SliceData(mem))) }

// noteOf gives the note of a rewrite its place behind the superblock.
func noteOf(b *superblock) *rewriteNote {
	return (*rewriteNote)(unsafe.Add(unsafe.Pointer(b), noteOffset))
}

func classTableOf(mem []byte, n int) []int16 {
	return unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(mem))), n)
}

func wordsOf(mem []byte) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(mem))), len(mem)/4)
}

// carver cuts typed arrays out of one region.
type carver struct {
	mem  []byte
	used int
}

// carve takes n elements of T, which must not contain Go pointers. Without
// memory it only adds up what is needed.
func carve[T any](c *carver, n int) []T {
	var t T
	size := (n*int(unsafe.Sizeof(t)) + 63) &^ 63
	at := c.used
	c.used += size
	if c.mem == nil {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&c.mem[at])), n)
}

// timerBlocks cuts memory into a chain of timer blocks; nil without memory.
func timerBlocks(mem []byte) *timerBlock {
	var chain *timerBlock
	for at := 0; at+timerBlockBytes <= len(mem); at += timerBlockBytes {
		b := (*timerBlock)(unsafe.Pointer(&mem[at]))
		b.next, chain = chain, b
	}
	return chain
}
