// Package stats condenses rounds into one figure with its spread. Medians
// throughout: a round on a shared machine may be off by any amount.
package stats

import (
	"math"
	"slices"
)

// Median of values; NaN without any.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}

// Spread is the median absolute deviation from the median, as a share of it; 0 for
// a median of 0 and for less than two values.
func Spread(values []float64) float64 {
	if len(values) < 2 {
		return 0
	}
	median := Median(values)
	if median == 0 {
		return 0
	}
	deviations := make([]float64, len(values))
	for i, v := range values {
		deviations[i] = math.Abs(v - median)
	}
	return Median(deviations) / math.Abs(median)
}

// Ratios divides round by round: a[i] ÷ b[i], for the rounds in which both are
// there (neither NaN, b not 0).
func Ratios(a, b []float64) []float64 {
	var ratios []float64
	for i := range min(len(a), len(b)) {
		if math.IsNaN(a[i]) || math.IsNaN(b[i]) || b[i] == 0 {
			continue
		}
		ratios = append(ratios, a[i]/b[i])
	}
	return ratios
}

// Known drops the rounds that gave no figure.
func Known(values []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(values), math.IsNaN)
}
