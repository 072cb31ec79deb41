package wire

import (
	"testing"

	"github.com/spaolacci/murmur3"
	"pgregory.net/rapid"
)

// TestKeyHashIsMurmur3 compares with the published implementation, at every length
// of a key.
func TestKeyHashIsMurmur3(t *testing.T) {
	key := make([]byte, 300)
	for i := range key {
		key[i] = byte(i*7 + 1)
	}
	for n := range len(key) {
		if want, _ := murmur3.Sum128(key[:n]); KeyHash(key[:n]) != want {
			t.Fatalf("%d bytes: %016x, want %016x", n, KeyHash(key[:n]), want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 0, MaxKeyBytes).Draw(t, "key")
		if want, _ := murmur3.Sum128(key); KeyHash(key) != want {
			t.Fatalf("%x: %016x, want %016x", key, KeyHash(key), want)
		}
	})
}
