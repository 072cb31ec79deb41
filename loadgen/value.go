package loadgen

import "encoding/binary"

// Values are a pure function of key hash and length: whoever reads one can tell
// whether it is whole and belongs to its key, without remembering anything.

// valueSeed starts the generator. The length is part of it, so that a value cut
// short differs from a short value in every byte.
func valueSeed(keyHash uint64, bytes int) uint64 {
	return mix(keyHash ^ uint64(bytes)*0x9E3779B97F4A7C15)
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// step is the generator: eight bytes of value for each state.
func step(state uint64) (next, word uint64) {
	next = state + 0x9E3779B97F4A7C15
	return next, next * (next>>32 | 1)
}

// AppendValue appends the value of the given length that belongs to a key.
func AppendValue(dst []byte, keyHash uint64, bytes int) []byte {
	state, word := valueSeed(keyHash, bytes), uint64(0)
	for ; bytes >= 8; bytes -= 8 {
		state, word = step(state)
		dst = binary.LittleEndian.AppendUint64(dst, word)
	}
	_, word = step(state)
	for ; bytes > 0; bytes-- {
		dst = append(dst, byte(word))
		word >>= 8
	}
	return dst
}

// CheckValue says whether a value is the one that belongs to a key.
func CheckValue(value []byte, keyHash uint64) bool {
	state, word := valueSeed(keyHash, len(value)), uint64(0)
	for ; len(value) >= 8; value = value[8:] {
		state, word = step(state)
		if binary.LittleEndian.Uint64(value) != word {
			return false
		}
	}
	_, word = step(state)
	for _, b := range value {
		if b != byte(word) {
			return false
		}
		word >>= 8
	}
	return true
}
