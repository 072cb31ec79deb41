package client

import (
	"testing"

	"pgregory.net/rapid"
)

// TestSketchNeverEstimatesTooLow, and too high by little, within a second; each
// second halves it.
func TestSketchNeverEstimatesTooLow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := new(sketch)
		s.decay(1)
		used := map[uint64]uint32{}
		keys := rapid.SliceOfN(rapid.Uint64(), 1, 50).Draw(t, "keys")
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(keys)-1), 1, 2000).Draw(t, "uses") {
			used[keys[i]]++
			s.add(keys[i], 2)
		}
		for hash, n := range used {
			if got := s.estimate(hash); got < n {
				t.Fatalf("%d uses are estimated as %d", n, got)
			}
		}
		seconds := rapid.IntRange(1, 40).Draw(t, "seconds")
		s.decay(1 + int64(seconds)*sketchHalfNanos)
		for hash, n := range used {
			if got := s.estimate(hash); got < n>>min(seconds, 31) || got > uint32(s.total.Load())+n {
				t.Fatalf("%d uses, after %d s, are estimated as %d", n, seconds, got)
			}
		}
	})
}

// TestSketchTellsHotFromCold among far more keys than it has cells.
func TestSketchTellsHotFromCold(t *testing.T) {
	s := new(sketch)
	s.decay(1)
	const cold, hot = 200_000, 16
	for i := range uint64(cold) {
		s.add(i*0x9E3779B97F4A7C15, 2)
		if i%100 == 0 {
			for h := range uint64(hot) {
				s.add(^h, 2)
			}
		}
	}
	wrong := 0
	for i := range uint64(1000) {
		if s.estimate((cold+i)*0x9E3779B97F4A7C15) > 2*s.noise() {
			wrong++
		}
	}
	if wrong > 10 {
		t.Errorf("%d of 1000 keys never seen look used", wrong)
	}
	for h := range uint64(hot) {
		if got := s.estimate(^h); got < cold/100 || got > cold/100+4*s.noise() {
			t.Errorf("a key used %d times is estimated as %d", cold/100, got)
		}
	}
}
