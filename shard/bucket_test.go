package shard

import (
	"testing"

	"pgregory.net/rapid"
)

// TestBucketCandidates: candidate is one of the slots that match names, whatever the
// other tags are, and those are all with the tag.
func TestBucketCandidates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tags := rapid.SampledFrom([]uint16{0, 1, 2, 0x7FFF, 0x8000, 0x8001, 0xFFFE, 0xFFFF}) // the hard ones
		b := bucket{meta: rapid.Uint32().Draw(t, "meta")}
		tag, want := tags.Draw(t, "tag"), uint32(0)
		for i := range b.tags {
			b.tags[i], b.handles[i] = tags.Draw(t, "other"), Handle(i+1)
			if b.tags[i] == tag {
				want |= 1 << i
			}
		}
		if got := b.match(tag); got != want {
			t.Fatalf("tag %04x among %04x: match %010b, want %010b", tag, b.tags, got, want)
		}
		h := b.candidate(tag)
		if (h == 0) != (want == 0) || h != 0 && want&(1<<(h-1)) == 0 {
			t.Fatalf("tag %04x among %04x: slot %d, want one of %010b", tag, b.tags, int(h)-1, want)
		}
	})
}

// TestKeyIs compares keys of every length, that differ in one bit or none.
func TestKeyIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 1, MaxKeyBytes).Draw(t, "key")
		m := newMemory(make([]byte, 512), newLayout(false, 0, 1<<30))
		word := makeWord(len(key), 0, 0, false, false)
		stored := m.key(1, word)
		copy(stored, key)
		at := rapid.IntRange(-1, len(key)*8-1).Draw(t, "bit")
		if at >= 0 {
			stored[at/8] ^= 1 << (at % 8)
		}
		if got := m.keyIs(1, word, key); got != (at < 0) {
			t.Fatalf("%x and %x: %v", key, stored, got)
		}
		if m.keyIs(1, word, key[1:]) {
			t.Fatal("a shorter key is the same")
		}
	})
}
