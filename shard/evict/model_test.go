package evict

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// items is a Meta over maps that fails the test when a policy asks for a handle
// it has no business with.
type items struct {
	t     rapid.TB
	bits  map[uint32]uint8
	hash  map[uint32]uint64
	links map[uint32]*Links
}

func newItems(t rapid.TB) *items {
	return &items{t, map[uint32]uint8{}, map[uint32]uint64{}, map[uint32]*Links{}}
}

func (m *items) Bits(h uint32) uint8 {
	if _, ok := m.hash[h]; !ok {
		m.t.Fatalf("asked for the bits of absent handle %d", h)
	}
	return m.bits[h]
}

func (m *items) SetBits(h uint32, b uint8) {
	if b > 7 {
		m.t.Fatalf("bits %#x are more than three", b)
	}
	m.bits[h] = b
}

func (m *items) Hash(h uint32) uint64 {
	if _, ok := m.hash[h]; !ok {
		m.t.Fatalf("asked for the hash of absent handle %d", h)
	}
	return m.hash[h]
}

func (m *items) Links(h uint32) *Links {
	if m.links[h] == nil {
		m.links[h] = &Links{}
	}
	return m.links[h]
}

// model is the plain twin of a policy: whole lists, real removal.
type model interface {
	insert(h uint32, hash uint64)
	hit(h uint32)
	remove(h uint32)
	victim() uint32
	restore(h uint32)
	len() int
	insertSpare(h uint32, hash uint64)
}

type lruModel struct{ order []uint32 }

func (m *lruModel) insert(h uint32, _ uint64)      { m.order = append(m.order, h) }
func (m *lruModel) insertSpare(h uint32, _ uint64) { m.insert(h, 0) }
func (m *lruModel) hit(h uint32)                   { m.remove(h); m.order = append(m.order, h) }
func (m *lruModel) remove(h uint32)                { m.order = without(m.order, h) }
func (m *lruModel) restore(h uint32)               { m.order = append(m.order, h) }
func (m *lruModel) len() int                       { return len(m.order) }
func (m *lruModel) victim() uint32                 { h := m.order[0]; m.order = m.order[1:]; return h }

func without(list []uint32, h uint32) []uint32 {
	return slices.DeleteFunc(list, func(x uint32) bool { return x == h })
}

// s3Model shares only the ghost with the policy.
type s3Model struct {
	small, main, spare    []uint32
	turn                  int
	count                 map[uint32]int
	hash                  map[uint32]uint64
	smallGhost, mainGhost ghost
	share                 float64
}

func newS3Model() *s3Model {
	pool := NewPool(nil)
	return &s3Model{
		count: map[uint32]int{}, hash: map[uint32]uint64{},
		smallGhost: newGhost(pool), mainGhost: newGhost(pool), share: startShare,
	}
}

func (m *s3Model) len() int { return len(m.small) + len(m.main) + len(m.spare) }

func (m *s3Model) insertSpare(h uint32, hash uint64) { m.spare, m.hash[h] = append(m.spare, h), hash }
func (m *s3Model) restore(h uint32)                  { m.count[h] = 0; m.main = append(m.main, h) }

func (m *s3Model) remove(h uint32) {
	m.small, m.main, m.spare = without(m.small, h), without(m.main, h), without(m.spare, h)
}

func (m *s3Model) hit(h uint32) {
	if slices.Contains(m.spare, h) {
		m.spare = without(m.spare, h)
		m.small = append(m.small, h)
		m.count[h] = 0
	}
	m.count[h] = min(m.count[h]+1, 3)
}

// spareTurn says whether a spare item goes: there are too many, or it is time.
func (m *s3Model) spareTurn() bool {
	if len(m.spare) == 0 {
		return false
	}
	m.turn++
	return m.turn%spareShare == 0 || len(m.spare)*spareShare > m.len()
}

func (m *s3Model) insert(h uint32, hash uint64) {
	m.count[h], m.hash[h] = 0, hash
	if younger, ok := m.smallGhost.take(hash); ok {
		if younger < youngPlaces {
			m.share = min(m.share+growStep, maxShare)
		}
		m.main = append(m.main, h)
	} else if _, ok := m.mainGhost.take(hash); ok {
		m.share = max(m.share-shrinkStep, minShare)
		m.main = append(m.main, h)
	} else {
		m.small = append(m.small, h)
	}
}

func (m *s3Model) victim() uint32 {
	if m.spareTurn() || len(m.spare) == m.len() {
		h := m.spare[0]
		m.spare = m.spare[1:]
		return h
	}
	for {
		n := len(m.small) + len(m.main)
		if len(m.small) == 0 || len(m.main) > 0 && float64(len(m.small)) < m.share*float64(n) {
			h := m.main[0]
			m.main = m.main[1:]
			if m.count[h] == 0 {
				m.mainGhost.add(m.hash[h], int(youngShare*float64(n)))
				return h
			}
			m.count[h]--
			m.main = append(m.main, h)
			continue
		}
		h := m.small[0]
		m.small = m.small[1:]
		if m.count[h] < promoteCount {
			m.smallGhost.add(m.hash[h], int(ghostShare*float64(n)))
			return h
		}
		m.count[h] = 0
		m.main = append(m.main, h)
	}
}

// TestPoliciesEqualTheirModels drives policy and model with the same operations;
// few slots, so that handles are reused at once after a removal.
func TestPoliciesEqualTheirModels(t *testing.T) {
	models := map[string]func() model{
		"lru":    func() model { return &lruModel{} },
		"s3fifo": func() model { return newS3Model() },
	}
	for name, newModel := range models {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { compare(t, name, newModel()) })
		})
	}
}

func compare(t *rapid.T, name string, want model) {
	meta := newItems(t)
	policy, err := New(name, meta, Config{})
	if err != nil {
		t.Fatal(err)
	}
	const slots = 24
	for range rapid.IntRange(1, 200).Draw(t, "steps") {
		h := rapid.Uint32Range(1, slots).Draw(t, "handle")
		_, present := meta.hash[h]
		switch op := rapid.SampledFrom([]string{"insert", "spare", "hit", "remove", "victim", "restore"}).Draw(t, "op"); {
		case op == "insert" && !present:
			hash := rapid.Uint64Range(1, 40).Draw(t, "key") * 0x9E3779B97F4A7C15
			meta.hash[h] = hash
			policy.Insert(h, hash)
			want.insert(h, hash)
		case op == "spare" && !present:
			meta.hash[h] = rapid.Uint64Range(1, 40).Draw(t, "key") * 0x9E3779B97F4A7C15
			policy.InsertSpare(h)
			want.insertSpare(h, meta.hash[h])
		case op == "hit" && present:
			policy.Hit(h)
			want.hit(h)
		case op == "remove" && present:
			policy.Remove(h)
			want.remove(h)
			delete(meta.hash, h)
		case op == "victim" || op == "restore":
			compareVictims(t, policy, want, meta, op == "restore")
		}
		if policy.Len() != want.len() {
			t.Fatalf("%d items, want %d", policy.Len(), want.len())
		}
	}
}

func compareVictims(t *rapid.T, policy Policy, want model, meta *items, restore bool) {
	if want.len() == 0 {
		if h, ok := policy.Victim(); ok {
			t.Fatalf("victim %d of an empty policy", h)
		}
		return
	}
	got, ok := policy.Victim()
	if expected := want.victim(); !ok || got != expected {
		t.Fatalf("victim %d (%v), want %d", got, ok, expected)
	}
	if restore {
		policy.Restore(got)
		want.restore(got)
		return
	}
	delete(meta.hash, got)
}

func TestMultisetEqualsMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := multiset{pool: NewPool(nil)}
		want := map[uint32]int{}
		count := 0
		for range rapid.IntRange(1, 600).Draw(t, "steps") {
			h := rapid.Uint32Range(1, 90).Draw(t, "handle")
			if rapid.Bool().Draw(t, "add") {
				m.add(h)
				want[h]++
				count++
			} else if got := m.take(h); got != (want[h] > 0) {
				t.Fatalf("take(%d) = %v with %d in it", h, got, want[h])
			} else if got {
				want[h]--
				count--
			}
			if m.count != count {
				t.Fatalf("count %d, want %d", m.count, count)
			}
		}
	})
}
