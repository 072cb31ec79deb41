package wire

import "gannet/checksum"

// KeyHash is h1 of MurmurHash3 x64 128 with seed 0. The ring uses its upper bits, ShardOf its lower 32.
func KeyHash(key []byte) uint64 { return checksum.KeyHash(key) }

// ShardOf spreads the lower half of a key hash over a node's shards, of which there must be at least one.
func ShardOf(keyHash uint64, shards int) int {
	return int((keyHash & 0xFFFFFFFF) * uint64(shards) >> 32)
}
