package checksum

import (
	"encoding/binary"
	"math/bits"
)

// Sum returns the folded one's-complement sum of b, as if b began at an even offset. It is not complemented: see Finish.
func Sum(b []byte) uint16 {
	// Little-endian loads are the cheap ones; one's-complement addition commutes with a byte swap, so one swap at the end is enough.
	var sum, carry uint64
	for len(b) >= 64 {
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b), 0)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[8:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[16:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[24:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[32:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[40:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[48:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[56:]), carry)
		sum += carry // cannot overflow: a sum that carried is not all ones
		b = b[64:]
	}
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b), 0)
		sum += carry
		b = b[8:]
	}
	sum, carry = bits.Add64(sum, tail(b), 0)
	return bits.ReverseBytes16(fold64(sum + carry))
}

// Words is a sum of a payload that is written in 64-bit words, as they stand in registers: it costs an addition a word, where Sum
// would read back what has just been stored. The zero value is the sum of nothing.
type Words struct{ sum, carries uint64 }

// Add takes a word that is written in little-endian order at a multiple of 8 bytes.
func (w *Words) Add(word uint64) {
	sum, carry := bits.Add64(w.sum, word, 0)
	w.sum = sum
	w.carries += carry
}

// Add6 takes six words: one chain of carries.
func (w *Words) Add6(a, b, c, d, e, f uint64) {
	sum, carry := bits.Add64(w.sum, a, 0)
	sum, carry = bits.Add64(sum, b, carry)
	sum, carry = bits.Add64(sum, c, carry)
	sum, carry = bits.Add64(sum, d, carry)
	sum, carry = bits.Add64(sum, e, carry)
	sum, carry = bits.Add64(sum, f, carry)
	w.sum = sum
	w.carries += carry
}

// AddSum takes the sum of a piece that begins at an even offset.
func (w *Words) AddSum(sum uint16) { w.Add(uint64(bits.ReverseBytes16(sum))) }

// Sum returns what Sum would over all that was added.
func (w *Words) Sum() uint16 {
	sum, carry := bits.Add64(w.sum, w.carries, 0)
	return bits.ReverseBytes16(fold64(sum + carry))
}

// WithCopy copies src to dst, and returns the sum with src added, as if that stood at a multiple of 8 bytes: one pass where copy and
// Sum take two. dst is as long as src, or longer by less than 8 bytes, which become zero.
func (w Words) WithCopy(dst, src []byte) Words {
	sum, carries, carry := w.sum, w.carries, uint64(0)
	for len(src) > 32 && len(dst) > 32 { // not >=: what is left has a beginning, which the compiler then need not mind
		a, b := binary.LittleEndian.Uint64(src), binary.LittleEndian.Uint64(src[8:])
		c, d := binary.LittleEndian.Uint64(src[16:]), binary.LittleEndian.Uint64(src[24:])
		binary.LittleEndian.PutUint64(dst, a)
		binary.LittleEndian.PutUint64(dst[8:], b)
		binary.LittleEndian.PutUint64(dst[16:], c)
		binary.LittleEndian.PutUint64(dst[24:], d)
		sum, carry = bits.Add64(sum, a, 0)
		sum, carry = bits.Add64(sum, b, carry)
		sum, carry = bits.Add64(sum, c, carry)
		sum, carry = bits.Add64(sum, d, carry)
		carries += carry
		src, dst = src[32:], dst[32:]
	}
	for len(src) > 8 && len(dst) > 8 {
		a := binary.LittleEndian.Uint64(src)
		binary.LittleEndian.PutUint64(dst, a)
		sum, carry = bits.Add64(sum, a, 0)
		carries += carry
		src, dst = src[8:], dst[8:]
	}
	if len(src) > 0 {
		last := upToWord(src)
		putTail(dst, last)
		sum, carry = bits.Add64(sum, last, 0)
		carries += carry
	}
	return Words{sum, carries}
}

// upToWord reads 1 to 8 bytes as one little-endian word.
func upToWord(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.LittleEndian.Uint64(b)
	}
	return tail(b)
}

// putTail writes the beginning of a little-endian word.
func putTail(b []byte, w uint64) {
	if len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, w)
		return
	}
	for i := range b {
		b[i] = byte(w)
		w >>= 8
	}
}

// tail reads the last 0 to 7 bytes as one little-endian word.
func tail(b []byte) uint64 {
	var w uint64
	if len(b) >= 4 {
		w = uint64(binary.LittleEndian.Uint32(b))
		b = b[4:]
		return w | tail3(b)<<32
	}
	return tail3(b)
}

func tail3(b []byte) uint64 {
	switch len(b) {
	case 3:
		return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16
	case 2:
		return uint64(b[0]) | uint64(b[1])<<8
	case 1:
		return uint64(b[0])
	}
	return 0
}

func fold64(sum uint64) uint16 {
	sum = sum>>32 + sum&0xFFFFFFFF
	return Fold(uint32(sum>>32 + sum&0xFFFFFFFF))
}

// Fold adds the two halves of an accumulated sum until it fits 16 bits. Up to 65,537 partial sums may be added up in a uint32
// before they are folded.
func Fold(sum uint32) uint16 {
	sum = sum>>16 + sum&0xFFFF
	return uint16(sum>>16 + sum&0xFFFF)
}

// Add returns the sum of two pieces of which the second begins at an even offset of the whole.
func Add(a, b uint16) uint16 {
	return Fold(uint32(a) + uint32(b))
}

// Combine returns the sum of two pieces; oddOffset says that the second begins at an odd offset of the whole.
func Combine(a, b uint16, oddOffset bool) uint16 {
	if oddOffset {
		b = bits.ReverseBytes16(b)
	}
	return Add(a, b)
}

// Sub takes a piece that began at an even offset out of a sum. The result is congruent to the sum without it; of the two forms of
// zero it may be either one.
func Sub(a, b uint16) uint16 {
	return Add(a, ^b)
}

// Finish turns a partial sum into the value of a UDP checksum field: complemented, and never 0, which means "none" there.
func Finish(sum uint16) uint16 {
	if c := ^sum; c != 0 {
		return c
	}
	return 0xFFFF
}

// Verify reports whether the sum over a pseudo-header, a UDP header and its payload, checksum field included, is that of an intact
// datagram.
func Verify(sum uint16) bool {
	return sum == 0xFFFF
}

// PseudoIPv4 returns the sum of the IPv4 pseudo-header of a transport segment of lengthBytes, its header included.
func PseudoIPv4(source, destination [4]byte, protocol uint8, lengthBytes uint16) uint16 {
	sum := uint32(binary.BigEndian.Uint16(source[0:])) + uint32(binary.BigEndian.Uint16(source[2:])) +
		uint32(binary.BigEndian.Uint16(destination[0:])) + uint32(binary.BigEndian.Uint16(destination[2:])) +
		uint32(protocol) + uint32(lengthBytes)
	return Fold(sum)
}

// PseudoIPv6 returns the sum of the IPv6 pseudo-header of a transport segment of lengthBytes, its header included.
func PseudoIPv6(source, destination [16]byte, protocol uint8, lengthBytes uint32) uint16 {
	sum := uint32(Sum(source[:])) + uint32(Sum(destination[:])) + uint32(protocol) + lengthBytes>>16 + lengthBytes&0xFFFF
	return Fold(sum)
}
