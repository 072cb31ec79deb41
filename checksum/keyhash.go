package checksum

import (
	"encoding/binary"
	"math/bits"
)

// KeyHash is h1 of MurmurHash3 x64 128 with seed 0: the hash by which keys find their node, their shard and their place there.
func KeyHash(key []byte) uint64 {
	const (
		c1 = 0x87c37b91114253d5
		c2 = 0x4cf5ad432745937f
	)
	var h1, h2 uint64
	lengthBytes := uint64(len(key))
	for len(key) >= 16 {
		h1 ^= bits.RotateLeft64(binary.LittleEndian.Uint64(key)*c1, 31) * c2
		h1 = (bits.RotateLeft64(h1, 27)+h2)*5 + 0x52dce729
		h2 ^= bits.RotateLeft64(binary.LittleEndian.Uint64(key[8:])*c2, 33) * c1
		h2 = (bits.RotateLeft64(h2, 31)+h1)*5 + 0x38495ab5
		key = key[16:]
	}
	if len(key) > 0 {
		first := key[:min(len(key), 8)]
		h2 ^= bits.RotateLeft64(shortWord(key[len(first):])*c2, 33) * c1 // nothing when there are no more bytes
		h1 ^= bits.RotateLeft64(shortWord(first)*c1, 31) * c2
	}
	h1 ^= lengthBytes
	h2 ^= lengthBytes
	h1 += h2
	h2 += h1
	return finalMix(h1) + finalMix(h2)
}

func finalMix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// shortWord reads 0 to 8 bytes as a little-endian word, by loads that may overlap.
func shortWord(b []byte) uint64 {
	n := len(b)
	switch {
	case n >= 8:
		return binary.LittleEndian.Uint64(b)
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[n-4:]))<<(8*(n-4))
	case n > 0:
		return uint64(b[0]) | uint64(b[n/2])<<(8*(n/2)) | uint64(b[n-1])<<(8*(n-1))
	}
	return 0
}
