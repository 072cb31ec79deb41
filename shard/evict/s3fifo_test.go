package evict

import (
	"errors"
	"math/rand/v2"
	"testing"
)

// flat is a Meta over slices for big tests.
type flat struct {
	bits []uint8
	hash []uint64
}

func newFlat(n int) *flat { return &flat{make([]uint8, n+1), make([]uint64, n+1)} }

func (m *flat) Bits(h uint32) uint8       { return m.bits[h] }
func (m *flat) SetBits(h uint32, b uint8) { m.bits[h] = b }
func (m *flat) Hash(h uint32) uint64      { return m.hash[h] }
func (m *flat) Links(uint32) *Links       { panic("this policy needs no links") }

func fill(p Policy, m *flat, n int, r *rand.Rand) {
	for h := uint32(1); h <= uint32(n); h++ {
		m.hash[h] = r.Uint64()
		p.Insert(h, m.hash[h])
	}
}

// TestChurnOfRemovals removes and reuses handles without any eviction, the load of
// a cache that lives by TTL: stale entries must stay a small share, and each item
// must still come out as a victim exactly once.
func TestChurnOfRemovals(t *testing.T) {
	const items = 20_000
	r := rand.New(rand.NewPCG(1, 2))
	meta := newFlat(items)
	p := newS3FIFO(meta, Config{Pool: NewPool(nil)})
	fill(p, meta, items, r)
	for i := range 40 * items {
		h := 1 + r.Uint32N(items)
		p.Remove(h)
		meta.hash[h] = r.Uint64()
		p.Insert(h, meta.hash[h])
		if stale := p.small.stale.count + p.main.stale.count; stale > items/8+4*blockEntries {
			t.Fatalf("%d stale entries after %d removals", stale, i)
		}
	}
	if perItem := float64(p.Bytes()) / items; perItem > 10 {
		t.Errorf("%.1f bytes an item under removals", perItem)
	}
	seen := make([]bool, items+1)
	for range items {
		h, ok := p.Victim()
		if !ok || seen[h] {
			t.Fatalf("victim %d (%v): missing or twice", h, ok)
		}
		seen[h] = true
	}
	if _, ok := p.Victim(); ok || p.Len() != 0 {
		t.Fatalf("items left over: %d", p.Len())
	}
}

// TestSteadyState looks at a policy that evicts: memory per item, no allocation.
func TestSteadyState(t *testing.T) {
	const items = 100_000
	r := rand.New(rand.NewPCG(3, 4))
	meta := newFlat(items)
	p := newS3FIFO(meta, Config{Pool: NewPool(nil)})
	fill(p, meta, items, r)
	turn := func() {
		h, _ := p.Victim()
		meta.hash[h] = r.Uint64N(10 * items)
		p.Insert(h, meta.hash[h])
		p.Hit(1 + r.Uint32N(items))
	}
	for range 5 * items {
		turn()
	}
	if allocs := testing.AllocsPerRun(items, turn); allocs != 0 {
		t.Errorf("%v allocations an eviction", allocs)
	}
	perItem := float64(p.Bytes()) / items
	t.Logf("%.2f bytes an item: queues %.2f, ghosts %.2f", perItem,
		float64(p.small.bytes()+p.main.bytes())/items, float64(p.smallGhost.bytes()+p.mainGhost.bytes())/items)
	if perItem > 6.5 {
		t.Errorf("%.2f bytes an item, want at most 6.5", perItem)
	}
}

// TestVictimIsBounded: all items hit often must not make one eviction walk them all.
func TestVictimIsBounded(t *testing.T) {
	const items = 10_000
	meta := newFlat(items)
	p := newS3FIFO(meta, Config{Pool: NewPool(nil)})
	fill(p, meta, items, rand.New(rand.NewPCG(5, 6)))
	for h := uint32(1); h <= items; h++ {
		p.Hit(h)
		p.Hit(h)
	}
	if _, ok := p.Victim(); !ok {
		t.Fatal("no victim")
	}
	if p.main.len() > victimScan {
		t.Fatalf("one eviction moved %d items, want at most %d", p.main.len(), victimScan)
	}
}

func TestGhostForgetsInOrder(t *testing.T) {
	const places = 30_000
	g := newGhost(NewPool(nil))
	for i := range uint64(4 * places) {
		g.add(i*0x9E3779B97F4A7C15, places)
	}
	share := func(from, to uint64) float64 {
		found := 0
		for i := from; i < to; i++ {
			if _, ok := g.take(i * 0x9E3779B97F4A7C15); ok {
				found++
			}
		}
		return float64(found) / float64(to-from)
	}
	if s := share(0, places); s > 0.02 {
		t.Errorf("%.3f of keys three generations old remembered", s)
	}
	if s := share(3*places+places/2, 4*places); s < 0.98 {
		t.Errorf("%.3f of the newest half remembered", s)
	}
}

func TestGhostSurvivesResizing(t *testing.T) {
	g := newGhost(NewPool(nil))
	for i := range uint64(3000) {
		g.add(i*0x9E3779B97F4A7C15, 3000)
	}
	g.add(1<<60, 6000)
	found := 0
	for i := range uint64(3000) {
		if _, ok := g.take(i * 0x9E3779B97F4A7C15); ok {
			found++
		}
	}
	if found < 2400 {
		t.Fatalf("%d of 3000 keys survived the change of size", found)
	}
}

func TestAdoptKeepsThePast(t *testing.T) {
	meta := newFlat(2)
	p := newS3FIFO(meta, Config{Pool: NewPool(nil)})
	meta.bits[1], meta.bits[2] = mainBit|3, 1
	p.Adopt(1)
	p.Adopt(2)
	if p.main.len() != 1 || p.small.len() != 1 || meta.bits[1] != mainBit|3 || meta.bits[2] != 1 {
		t.Fatalf("main %d, small %d, bits %v", p.main.len(), p.small.len(), meta.bits)
	}
}

// TestCloseGivesAllMemoryBack also has a source that runs dry.
func TestCloseGivesAllMemoryBack(t *testing.T) {
	calls := 0
	pool := NewPool(func(words int) []uint32 {
		if calls++; calls > 1 {
			return nil
		}
		return make([]uint32, words)
	})
	meta := newFlat(50_000)
	p := newS3FIFO(meta, Config{Pool: pool})
	fill(p, meta, 50_000, rand.New(rand.NewPCG(7, 8)))
	for h := uint32(1); h <= 3000; h++ {
		p.Remove(h)
	}
	for range 20_000 {
		p.Victim()
	}
	if pool.HeapBytes() == 0 || pool.UsedBytes() != p.Bytes() {
		t.Errorf("heap %d, used %d, policy says %d", pool.HeapBytes(), pool.UsedBytes(), p.Bytes())
	}
	p.Close()
	if pool.UsedBytes() != 0 || p.Len() != 0 {
		t.Errorf("after Close: %d bytes used, %d items", pool.UsedBytes(), p.Len())
	}
}

func TestNewNamesThePolicies(t *testing.T) {
	for _, name := range append(Names(), "default") {
		if _, err := New(name, newFlat(1), Config{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New("fancy", newFlat(1), Config{}); !errors.Is(err, ErrUnknownPolicy) {
		t.Errorf("unknown name: %v", err)
	}
}

// TestChurnWithEvictions mixes removals, reuse, hits and evictions over queues of
// many blocks, so that the sweep meets a moving head.
func TestChurnWithEvictions(t *testing.T) {
	const items = 6_000
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 9))
		meta := newFlat(items)
		p := newS3FIFO(meta, Config{Pool: NewPool(nil)})
		c := &churn{t: t, p: p, meta: meta, live: make([]bool, items+1)}
		for range 60 * items {
			c.step(1+r.Uint32N(items), r)
		}
		for p.Len() > 0 {
			c.evict()
		}
		if c.count != 0 {
			t.Fatalf("seed %d: %d items never came out", seed, c.count)
		}
	}
}

type churn struct {
	t     *testing.T
	p     *s3fifo
	meta  *flat
	live  []bool
	count int
}

func (c *churn) step(h uint32, r *rand.Rand) {
	switch dice := r.IntN(10); {
	case !c.live[h]:
		c.meta.hash[h] = r.Uint64N(20_000)
		c.p.Insert(h, c.meta.hash[h])
		c.live[h] = true
		c.count++
	case dice < 6:
		c.p.Remove(h)
		c.live[h] = false
		c.count--
	case dice < 8:
		c.p.Hit(h)
	default:
		c.evict()
	}
	if c.p.Len() != c.count {
		c.t.Fatalf("%d items, want %d", c.p.Len(), c.count)
	}
}

func (c *churn) evict() {
	h, ok := c.p.Victim()
	if !ok || !c.live[h] {
		c.t.Fatalf("victim %d (%v) is not in the cache", h, ok)
	}
	c.live[h] = false
	c.count--
}

// TestTwoHitsEarnThePromotion: one hit in the small queue is not enough.
func TestTwoHitsEarnThePromotion(t *testing.T) {
	meta := newFlat(3)
	p := newS3FIFO(meta, Config{Pool: NewPool(nil)})
	fill(p, meta, 3, rand.New(rand.NewPCG(1, 1)))
	p.Hit(1)
	p.Hit(1)
	p.Hit(2)
	if h, _ := p.Victim(); h != 2 {
		t.Fatalf("victim %d, want 2, which was hit once", h)
	}
	if meta.bits[1] != mainBit {
		t.Fatalf("bits of the promoted item %#x", meta.bits[1])
	}
}

// TestSmallGhostForgets: a ghost of a few places must not remember a whole bucket.
func TestSmallGhostForgets(t *testing.T) {
	g := newGhost(NewPool(nil))
	for i := range uint64(10) {
		g.add(i*0x9E3779B97F4A7C15, 4)
	}
	newest := uint64(9)
	newest *= 0x9E3779B97F4A7C15
	if _, ok := g.take(0); ok {
		t.Error("the oldest of ten keys is remembered in four places")
	}
	if _, ok := g.take(newest); !ok {
		t.Error("the newest key is forgotten")
	}
}
