package shard

import (
	"encoding/binary"

	"gannet/checksum"
)

// An item in its slot:
//
//	word 0  version        epoch:24 | sequence:40
//	word 1  keyLen:8 | valueLen:21 | stored:27 | flags:8   (low bits first)
//	        links          2 × u32, only with a policy that needs them
//	        expires        u32, eighths of a second since the origin; only with flagTTL
//	        soft           u32, the same; only with flagSoft
//	        key
//	        CRC32C         u32 for each unit of 1 KiB of the value
//	        sums           u16 for each unit; only for values over sumFromBytes
//	        header room    only for values of layout.roomFrom bytes or more
//	        value
//
// A small item is compared and served within its first cache line or two. The
// sum of a small value costs less to compute than to store.
const (
	fixedHeadBytes = 16
	linkBytes      = 8
	sumFromBytes   = 128

	valueLenShift = 8
	storedShift   = 29
	flagShift     = 56

	keyLenMask   = 0xFF
	valueLenMask = 1<<21 - 1
	storedMask   = 1<<27 - 1

	policyBits = uint64(7) << flagShift
	flagTTL    = uint64(1) << 59
	flagSoft   = uint64(1) << 60
	genShift   = 61
	genMask    = uint64(3) << genShift
	flagMark   = uint64(1) << 63 // the wheel's: seen in this compaction
)

// ticksPerSecond is the resolution of TTLs in items.
const ticksPerSecond = 8

// header overlays the first 16 bytes of a slot. A free slot has word 0; its
// version field then holds the next free slot.
type header struct {
	version uint64
	word    uint64
}

func keyLen(word uint64) int   { return int(word & keyLenMask) }
func valueLen(word uint64) int { return int(word >> valueLenShift & valueLenMask) }

func units(valueBytes int) int { return (valueBytes + UnitBytes - 1) / UnitBytes }

// sumBytes is the room for the sums of a value.
func sumBytes(valueBytes int) int {
	n := 4 * units(valueBytes)
	if valueBytes > sumFromBytes {
		n += 2 * units(valueBytes)
	}
	return n
}

// layout knows the offsets that depend on the configuration.
type layout struct {
	keyAt    [4]int // by the TTL flags
	room     int    // bytes kept free in front of large values
	roomFrom int    // length of the shortest value that has room
}

func newLayout(links bool, room, roomFrom int) layout {
	at := fixedHeadBytes
	if links {
		at += linkBytes
	}
	return layout{[4]int{at, at + 4, at + 4, at + 8}, room, roomFrom}
}

func (l *layout) keyOffset(word uint64) int { return l.keyAt[word>>59&3] }

// valueOffset returns where the value begins.
func (l *layout) valueOffset(word uint64) int {
	n := valueLen(word)
	at := l.keyOffset(word) + keyLen(word) + sumBytes(n)
	if n >= l.roomFrom {
		at += l.room
	}
	return at
}

// size returns the bytes the item needs.
func (l *layout) size(word uint64) int { return l.valueOffset(word) + valueLen(word) }

// makeWord packs word 1; generation and policy bits are zero.
func makeWord(keyBytes, valueBytes int, stored uint32, ttl, soft bool) uint64 {
	w := uint64(keyBytes) | uint64(valueBytes)<<valueLenShift | uint64(stored&storedMask)<<storedShift
	if ttl {
		w |= flagTTL
	}
	if soft {
		w |= flagSoft
	}
	return w
}

// Units returns the number of units of UnitBytes that the value has.
func (it *Item) Units() int { return units(len(it.Value)) }

// CRC returns the CRC32C of unit i of the value.
func (it *Item) CRC(i int) uint32 { return binary.LittleEndian.Uint32(it.table[4*i:]) }

// Sum returns the one's-complement partial sum of unit i.
func (it *Item) Sum(i int) uint16 {
	if len(it.Value) <= sumFromBytes {
		return checksum.Sum(it.Value)
	}
	return binary.LittleEndian.Uint16(it.table[4*it.Units()+2*i:])
}

// fillUnits computes the sums of value into table.
func fillUnits(table, value []byte) {
	n := units(len(value))
	for i := 0; i < n; i++ {
		unit := value[i*UnitBytes : min((i+1)*UnitBytes, len(value))]
		binary.LittleEndian.PutUint32(table[4*i:], checksum.CRC(unit))
		if len(value) > sumFromBytes {
			binary.LittleEndian.PutUint16(table[4*n+2*i:], checksum.Sum(unit))
		}
	}
}

// checkUnits reports whether the sums fit the value.
func checkUnits(table, value []byte) bool {
	n := units(len(value))
	for i := 0; i < n; i++ {
		unit := value[i*UnitBytes : min((i+1)*UnitBytes, len(value))]
		if binary.LittleEndian.Uint32(table[4*i:]) != checksum.CRC(unit) {
			return false
		}
		if len(value) > sumFromBytes && binary.LittleEndian.Uint16(table[4*n+2*i:]) != checksum.Sum(unit) {
			return false
		}
	}
	return true
}
