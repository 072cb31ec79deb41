package evict

import (
	"math/rand/v2"
	"testing"
)

// full is a policy of so many items, each read often.
func full(items int) (*s3fifo, *flat, *rand.Rand) {
	r := rand.New(rand.NewPCG(7, 8))
	meta := newFlat(items)
	p := newS3FIFO(meta, Config{Pool: NewPool(nil)})
	fill(p, meta, items, r)
	return p, meta, r
}

// TestSpareItemsTakeNoMoreThanTheirShare from the others, however many come.
func TestSpareItemsTakeNoMoreThanTheirShare(t *testing.T) {
	const items = 8000
	p, meta, r := full(items)
	for range 4 * items {
		h, ok := p.Victim()
		if !ok {
			t.Fatal("no victim")
		}
		meta.hash[h] = r.Uint64()
		p.InsertSpare(h)
	}
	if n := p.spare.len(); n != items/spareShare && n != items/spareShare+1 || p.Len() != items {
		t.Errorf("%d of %d items are spare, want 1/%d", n, p.Len(), spareShare)
	}
}

// TestSpareItemsGoFirst where they filled free room, and none stays for ever.
func TestSpareItemsGoFirst(t *testing.T) {
	const items = 8000
	meta := newFlat(items)
	p := newS3FIFO(meta, Config{Pool: NewPool(nil)})
	for h := uint32(1); h <= items; h++ {
		if meta.hash[h] = uint64(h) << 32; h <= items/2 {
			p.Insert(h, meta.hash[h])
		} else {
			p.InsertSpare(h)
		}
	}
	evict := func() uint32 {
		h, _ := p.Victim()
		spare := p.IsSpare(h)
		p.Insert(h, meta.hash[h]+1)
		if spare {
			return h
		}
		return None
	}
	for i := range uint32(items/2 - items/spareShare) {
		if h := evict(); h != items/2+1+i {
			t.Fatalf("victim %d is %d, which is not the oldest spare one", i, h)
		}
	}
	for range 2 * items {
		evict()
	}
	if n := p.spare.len(); n != 0 {
		t.Errorf("%d spare items are still there", n)
	}
}

// TestASpareItemThatIsReadIsLikeTheOthers.
func TestASpareItemThatIsReadIsLikeTheOthers(t *testing.T) {
	const items = 1600
	p, meta, r := full(items)
	h, _ := p.Victim()
	meta.hash[h] = r.Uint64()
	p.InsertSpare(h)
	if !p.IsSpare(h) {
		t.Fatal("not spare")
	}
	p.Hit(h)
	if p.IsSpare(h) || p.spare.len() != 0 {
		t.Fatal("still spare")
	}
	p.Hit(h)
	for range 2 * items {
		v, _ := p.Victim()
		if v == h {
			t.Fatal("it went before those that were not read")
		}
		p.Insert(v, r.Uint64())
	}
	if p.Len() != items {
		t.Errorf("%d items", p.Len())
	}
}
