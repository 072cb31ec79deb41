package values

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestPartsMakeTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hash, total := rapid.Uint64().Draw(t, "hash"), rapid.IntRange(0, 5000).Draw(t, "bytes")
		whole := Append(nil, hash, total)
		if len(whole) != total || !Check(whole, hash) {
			t.Fatalf("%d bytes instead of %d, or not what was made", len(whole), total)
		}
		offset := rapid.IntRange(0, total/8).Draw(t, "words") * 8
		length := rapid.IntRange(0, total-offset).Draw(t, "length")
		part := AppendPart(nil, hash, total, offset, length)
		if !bytes.Equal(part, whole[offset:offset+length]) || !CheckPart(part, hash, total, offset) {
			t.Fatal("a part is not where it belongs")
		}
	})
}

func TestEveryChangeShows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hash, total := rapid.Uint64().Draw(t, "hash"), rapid.IntRange(1, 600).Draw(t, "bytes")
		value := Append(nil, hash, total)
		value[rapid.IntRange(0, total-1).Draw(t, "at")] ^= rapid.ByteRange(1, 255).Draw(t, "change")
		if Check(value, hash) || CheckPart(value, hash, total, 0) {
			t.Fatal("a changed byte passed")
		}
	})
}

func TestCutShortShows(t *testing.T) {
	value := Append(nil, 7, 100)
	if Check(value[:96], 7) || Check(value, 8) || CheckPart(value[8:], 7, 100, 16) {
		t.Error("a value cut short, of another key, or moved passed")
	}
}

func BenchmarkCheck1KB(b *testing.B) {
	value := Append(nil, 7, 1000)
	b.ReportAllocs()
	for b.Loop() {
		if !Check(value, 7) {
			b.Fatal()
		}
	}
}
