// Package values makes the values that load generators store: each is a pure
// function of its key's hash and its length, so that whoever reads one, or a part
// of one, can tell whether it is whole and belongs to its key, without remembering
// anything.
//
// A value's life: Append makes it before it is stored; Check compares what came back
// with what must have, byte for byte; CheckPart does so for a segment of a long one.
//
// Invariants: the length is part of the seed, so that a value cut short differs from
// a short value in every byte; every eight bytes are computed independently of those
// before them.
package values

import "encoding/binary"

// golden is the step from one state to the next.
const golden uint64 = 0x9E3779B97F4A7C15

// Several steps, modulo 2^64.
const (
	twice    = 0x3c6ef372fe94f82a
	thrice   = 0xdaa66d2c7ddf743f
	fourfold = 0x78dde6e5fd29f054
)

func seed(keyHash uint64, bytes int) uint64 {
	return mix(keyHash ^ uint64(bytes)*golden)
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// word is the eight bytes of value that a state stands for.
func word(state uint64) uint64 { return state * (state>>32 | 1) }

// Append appends the value of the given length that belongs to a key.
func Append(dst []byte, keyHash uint64, bytes int) []byte {
	return appendFrom(dst, seed(keyHash, bytes), bytes)
}

// AppendPart appends a part of the value of totalBytes. Its offset must be a
// multiple of 8.
func AppendPart(dst []byte, keyHash uint64, totalBytes, offsetBytes, bytes int) []byte {
	return appendFrom(dst, at(keyHash, totalBytes, offsetBytes), bytes)
}

// at is the state in front of a part.
func at(keyHash uint64, totalBytes, offsetBytes int) uint64 {
	return seed(keyHash, totalBytes) + uint64(offsetBytes/8)*golden
}

func appendFrom(dst []byte, state uint64, bytes int) []byte {
	for ; bytes >= 8; bytes -= 8 {
		state += golden
		dst = binary.LittleEndian.AppendUint64(dst, word(state))
	}
	for w := word(state + golden); bytes > 0; bytes-- {
		dst = append(dst, byte(w))
		w >>= 8
	}
	return dst
}

// Check says whether a value is the one that belongs to a key.
func Check(value []byte, keyHash uint64) bool {
	return checkFrom(value, seed(keyHash, len(value)))
}

// CheckPart says whether part lies at an offset, a multiple of 8, of the value of
// totalBytes that belongs to a key.
func CheckPart(part []byte, keyHash uint64, totalBytes, offsetBytes int) bool {
	return offsetBytes%8 == 0 && offsetBytes+len(part) <= totalBytes && checkFrom(part, at(keyHash, totalBytes, offsetBytes))
}

func checkFrom(value []byte, state uint64) bool {
	// Four words at a time: this loop is most of what a reader of large values does.
	for ; len(value) >= 32; value = value[32:] {
		v, le := value[:32:32], binary.LittleEndian
		wrong := le.Uint64(v) ^ word(state+golden)
		wrong |= le.Uint64(v[8:]) ^ word(state+twice)
		wrong |= le.Uint64(v[16:]) ^ word(state+thrice)
		state += fourfold
		wrong |= le.Uint64(v[24:]) ^ word(state)
		if wrong != 0 {
			return false
		}
	}
	for ; len(value) >= 8; value = value[8:] {
		state += golden
		if binary.LittleEndian.Uint64(value) != word(state) {
			return false
		}
	}
	w := word(state + golden)
	for _, b := range value {
		if b != byte(w) {
			return false
		}
		w >>= 8
	}
	return true
}
