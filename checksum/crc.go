package checksum

import (
	"hash/crc32"
	"math/bits"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CRC returns the CRC32C (Castagnoli) of b, with the usual initial value and final complement: CRC("123456789") is 0xE3069283.
func CRC(b []byte) uint32 {
	return crc32.Checksum(b, castagnoli)
}

// UpdateCRC returns the CRC32C of the bytes that gave crc, followed by b.
func UpdateCRC(crc uint32, b []byte) uint32 {
	return crc32.Update(crc, castagnoli, b)
}

// An operator advances a CRC over a fixed number of zero bytes. The step is linear over GF(2), so it is tabulated for each byte of
// the CRC and applied by four look-ups.
type operator [4][256]uint32

func (o *operator) apply(crc uint32) uint32 {
	return o[0][byte(crc)] ^ o[1][byte(crc>>8)] ^ o[2][byte(crc>>16)] ^ o[3][byte(crc>>24)]
}

// operatorCount bounds the lengths that CombineCRC takes: below 1 << operatorCount, 16 MiB.
const operatorCount = 24

// zeros[k] advances over 1<<k bytes: 4 KiB each, of which the lengths below a unit use ten.
var zeros = buildOperators()

// unitOperator is the one for whole units, the common case.
var unitOperator = &zeros[10]

func buildOperators() *[operatorCount]operator {
	ops := new([operatorCount]operator)
	ops[0].fill(func(crc uint32) uint32 { return castagnoli[byte(crc)] ^ crc>>8 })
	for k := 1; k < operatorCount; k++ {
		half := &ops[k-1]
		ops[k].fill(func(crc uint32) uint32 { return half.apply(half.apply(crc)) })
	}
	return ops
}

func (o *operator) fill(step func(uint32) uint32) {
	for i := range o {
		for v := range o[i] {
			o[i][v] = step(uint32(v) << (8 * i))
		}
	}
}

// CombineCRC returns the CRC32C of two pieces from those of each, given the length of the second. A length of UnitBytes takes four
// table look-ups, another one four for each bit set in it.
func CombineCRC(a, b uint32, lengthBBytes int) uint32 {
	if a == 0 {
		return b // nothing, or what is as good: zeros after it change nothing
	}
	if lengthBBytes == UnitBytes {
		return unitOperator.apply(a) ^ b
	}
	return advance(a, uint(lengthBBytes)) ^ b
}

func advance(crc uint32, lengthBytes uint) uint32 {
	for lengthBytes >= 1<<operatorCount {
		crc = zeros[operatorCount-1].apply(zeros[operatorCount-1].apply(crc))
		lengthBytes -= 1 << operatorCount
	}
	for lengthBytes != 0 {
		k := bits.TrailingZeros(lengthBytes) & 31
		if k >= operatorCount {
			break // not reached: tells the compiler the bound
		}
		crc = zeros[k].apply(crc)
		lengthBytes &= lengthBytes - 1
	}
	return crc
}
