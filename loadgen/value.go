package loadgen

import "gannet/loadgen/values"

// AppendValue appends the value of the given length that belongs to a key.
func AppendValue(dst []byte, keyHash uint64, bytes int) []byte {
	return values.Append(dst, keyHash, bytes)
}

// CheckValue says whether a value is the one that belongs to a key.
func CheckValue(value []byte, keyHash uint64) bool { return values.Check(value, keyHash) }

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
