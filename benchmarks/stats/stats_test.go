package stats

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestMedianAndSpread(t *testing.T) {
	if got := Median([]float64{9, 1, 5}); got != 5 {
		t.Errorf("median %v, want 5", got)
	}
	if got := Median([]float64{4, 2}); got != 3 {
		t.Errorf("median %v, want 3", got)
	}
	if !math.IsNaN(Median(nil)) {
		t.Error("the median of nothing is a number")
	}
	// Deviations from 10: 2, 1, 0, 1, 90.
	if got := Spread([]float64{8, 9, 10, 11, 100}); got != 0.1 {
		t.Errorf("spread %v, want 0.1", got)
	}
}

func TestRatiosSkipRoundsThatLackAFigure(t *testing.T) {
	nan := math.NaN()
	got := Ratios([]float64{2, nan, 6, 8, 1}, []float64{4, 1, nan, 2, 0})
	if !slices.Equal(got, []float64{0.5, 4}) {
		t.Errorf("%v", got)
	}
	if got := Known([]float64{1, nan, 3}); !slices.Equal(got, []float64{1, 3}) {
		t.Errorf("%v", got)
	}
}

func TestOneWildRoundHardlyMovesTheMedian(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(1, 2), 5, 15).Draw(t, "values")
		wild := append(slices.Clone(values), rapid.Float64Range(-1e12, 1e12).Draw(t, "wild"))
		if m := Median(wild); m < slices.Min(values) || m > slices.Max(values) {
			t.Fatalf("median %v left the range of %v", m, values)
		}
		if s := Spread(values); s < 0 || s > 1 {
			t.Fatalf("spread %v of values within a factor of two", s)
		}
	})
}
