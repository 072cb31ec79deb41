package evict

import "testing"

// TestHitBitsSayWhatHitDoes, and that the bits are all that it changes.
func TestHitBitsSayWhatHitDoes(t *testing.T) {
	asked := 0
	for bits, next := range newS3FIFO(newFlat(1), Config{Pool: NewPool(nil)}).HitBits() {
		if next == AskPolicy {
			asked++
			continue
		}
		meta := newFlat(1)
		p := newS3FIFO(meta, Config{Pool: NewPool(nil)})
		meta.bits[1] = uint8(bits)
		p.Adopt(1)
		small, main, spare := p.small.len(), p.main.len(), p.spare.len()
		p.Hit(1)
		if meta.bits[1] != next {
			t.Errorf("bits %03b: %03b after a hit, HitBits says %03b", bits, meta.bits[1], next)
		}
		if p.small.len() != small || p.main.len() != main || p.spare.len() != spare {
			t.Errorf("bits %03b: a hit moved the item", bits)
		}
	}
	if asked != 1 {
		t.Errorf("%d of s3fifo's bits want Hit, only those of spare items should", asked)
	}
	for bits, next := range newLRU(nil).HitBits() {
		if next != AskPolicy {
			t.Errorf("bits %03b: lru must see every hit", bits)
		}
	}
}
