package dataplane

import "testing"

const manyKeys = 0x9E3779B97F4A7C15 // times a number: a hash

// useHeat asks for a key, and says whether it is counted as hot.
func useHeat(h *heat, hash uint64) bool { return h.due() && h.count(hash) }

// TestHeatIsOfTheKeysAskedForMost, among many others, on a calm shard and on a busy one.
func TestHeatIsOfTheKeysAskedForMost(t *testing.T) {
	for _, uses := range []int{200, 20_000} { // between two steps
		h := new(heat)
		h.init()
		cold := uint64(0)
		hot := map[uint64]int{}
		wrong := 0
		for step := range 40 * heatParts / 10 {
			for use := range uses {
				if use%2 == 0 {
					if key := uint64(use/2%16 + 1); useHeat(h, ^key) {
						hot[key] = step
					}
					continue
				}
				cold++
				if useHeat(h, cold*manyKeys) {
					wrong++
				}
			}
			h.fade(1)
		}
		if len(hot) != 16 {
			t.Errorf("%d uses a step: %d of 16 keys are hot", uses, len(hot))
		}
		if most := int(cold) / 1000; wrong > most {
			t.Errorf("%d uses a step: %d of %d keys that were asked for once are hot", uses, wrong, cold)
		}
	}
}

// TestHeatFades, and heat counts no more GETs of a busy shard than it may.
func TestHeatFades(t *testing.T) {
	h := new(heat)
	h.init()
	for range heatFromCount - 1 {
		if useHeat(h, 1) {
			t.Fatal("hot too early")
		}
	}
	if !useHeat(h, 1) {
		t.Fatal("not hot")
	}
	h.fade(mostFades)
	if h.cells != [heatRows][heatWidth]uint8{} {
		t.Error("cells stay")
	}
	counted := 0
	for step := range 40 {
		for use := range 100_000 {
			if h.due() {
				h.count(uint64(use) * manyKeys)
				if step >= 30 {
					counted++
				}
			}
		}
		h.fade(1)
	}
	if counted > 10*2*heatBudget || counted < 10*heatBudget/8 {
		t.Errorf("%d of 1,000,000 GETs are counted", counted)
	}
	for range 20 { // it gets calm
		h.fade(1)
	}
	if h.every != 1 {
		t.Errorf("one in %d counts, of few", h.every)
	}
}

func BenchmarkHint(b *testing.B) {
	g := new(grants)
	g.init(new(Loop), nil)
	hash := uint64(1)
	for b.Loop() {
		hash += manyKeys
		g.hint(hash, 1)
	}
}
