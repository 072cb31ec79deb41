// Package evicttest has what tests of eviction policies need: items in slices and
// a cache of unit-size items around a policy.
package evicttest

import "gannet/shard/evict"

// Items is an evict.Meta over slices; the handle is the index.
type Items struct {
	bits   []uint8
	links  []evict.Links
	hashes []uint64
}

// NewItems makes room for handles 1 to n.
func NewItems(n int) *Items {
	return &Items{bits: make([]uint8, n+1), links: make([]evict.Links, n+1), hashes: make([]uint64, n+1)}
}

// Bits implements evict.Meta.
func (m *Items) Bits(h uint32) uint8 { return m.bits[h] }

// SetBits implements evict.Meta.
func (m *Items) SetBits(h uint32, b uint8) { m.bits[h] = b }

// Links implements evict.Meta.
func (m *Items) Links(h uint32) *evict.Links { return &m.links[h] }

// Hash implements evict.Meta.
func (m *Items) Hash(h uint32) uint64 { return m.hashes[h] }

// SetHash says which key stands in a slot.
func (m *Items) SetHash(h uint32, hash uint64) { m.hashes[h] = hash }

// Cache is a cache of a fixed number of items, each counting 1, keyed by small
// numbers.
type Cache struct {
	Policy evict.Policy
	items  *Items
	slotOf []uint32 // by key; 0 is absent
	keyOf  []uint32 // by slot
	free   []uint32
}

// NewCache makes a cache for keys below keys.
func NewCache(policy string, capacity, keys int) (*Cache, error) {
	items := NewItems(capacity)
	p, err := evict.New(policy, items, evict.Config{})
	if err != nil {
		return nil, err
	}
	c := &Cache{Policy: p, items: items, slotOf: make([]uint32, keys), keyOf: make([]uint32, capacity+1)}
	for h := capacity; h > 0; h-- {
		c.free = append(c.free, uint32(h))
	}
	return c, nil
}

// Get asks for a key and stores it on a miss. It says whether it was a hit.
func (c *Cache) Get(key uint32) bool {
	if h := c.slotOf[key]; h != evict.None {
		c.Policy.Hit(h)
		return true
	}
	h := c.room()
	c.slotOf[key], c.keyOf[h] = h, key
	hash := HashOf(key)
	c.items.SetHash(h, hash)
	c.Policy.Insert(h, hash)
	return false
}

func (c *Cache) room() uint32 {
	if n := len(c.free); n > 0 {
		h := c.free[n-1]
		c.free = c.free[:n-1]
		return h
	}
	h, _ := c.Policy.Victim()
	c.slotOf[c.keyOf[h]] = evict.None
	return h
}

// MissRatio replays keys.
func (c *Cache) MissRatio(keys []uint32) float64 {
	misses := 0
	for _, k := range keys {
		if !c.Get(k) {
			misses++
		}
	}
	return float64(misses) / float64(len(keys))
}

// HashOf is the key hash of a number.
func HashOf(key uint32) uint64 {
	x := uint64(key) + 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
