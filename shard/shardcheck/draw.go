package shardcheck

import "math"

// source is a small fast generator (splitmix64) with a fixed seed.
type source uint64

func (r *source) next() uint64 {
	*r += 0x9E3779B97F4A7C15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

func (r *source) float() float64 { return float64(r.next()>>11) / (1 << 53) }

func uniform(items, n int) sequence {
	r := source(1)
	return newSequence(n, func() uint64 { return r.next() % uint64(items) })
}

// zipf draws ranks with probability proportional to rank^-0.99 by inverting the
// cumulative sum, and spreads the ranks over the items.
func zipf(items, n int) sequence {
	sums := make([]float64, items)
	total := 0.0
	for i := range sums {
		total += math.Pow(float64(i+1), -0.99)
		sums[i] = total
	}
	r := source(2)
	return newSequence(n, func() uint64 {
		rank := search(sums, r.float()*total)
		return rank * 0x9E3779B1 % uint64(items)
	})
}

func search(sums []float64, x float64) uint64 {
	low, high := 0, len(sums)-1
	for low < high {
		if mid := (low + high) / 2; sums[mid] < x {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return uint64(low)
}
