package client

import (
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// TestTurnsAreBounded whatever load, the fastest replica and chance want: of any number
// of reads no replica is given more than the bound times the mean, and few.
func TestTurnsAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		replicas := rapid.IntRange(2, maxReplicas).Draw(t, "replicas")
		factor := rapid.SampledFrom([]float64{1, 1.125, 1.25, 2}).Draw(t, "factor")
		rooms := rapid.SliceOfN(rapid.Float64Range(-1, 1), replicas, replicas).Draw(t, "rooms")
		fixed := rapid.IntRange(-1, replicas-1).Draw(t, "wanted always")
		wants := rapid.SliceOfN(rapid.IntRange(0, replicas-1), 1, 50).Draw(t, "wanted")
		var turns turns
		var given [maxReplicas]int
		const reads = 5 * turnsKept
		for i := range reads {
			wanted := fixed
			if fixed < 0 {
				wanted = wants[i%len(wants)]
			}
			given[turns.take(wanted, rooms, factor)]++
			mean := float64(i+1) / float64(replicas)
			for replica, n := range given[:replicas] {
				if most := factor*(mean+1) + float64(8+i/turnsKept*4); float64(n) > most {
					t.Fatalf("replica %d has %d of %d reads, %v are allowed (%v)", replica, n, i+1, most, given)
				}
			}
		}
		if fixed >= 0 && float64(given[fixed]) < min(factor, float64(replicas))*reads/float64(replicas)*0.97 {
			t.Fatalf("the one that is wanted has %v", given)
		}
	})
}

// TestTurnsOfManyGoroutines are bounded as one's.
func TestTurnsOfManyGoroutines(t *testing.T) {
	const replicas, workers, each, factor = 3, 8, 5000, 1.125
	var turns turns
	var given [workers][replicas]int
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			rooms := []float64{0, 0.1, 0.2}
			for range each {
				given[w][turns.take(w%2, rooms, factor)]++
			}
		})
	}
	all.Wait()
	for replica := range replicas {
		n := 0
		for w := range workers {
			n += given[w][replica]
		}
		if mean := workers * each / replicas; float64(n) > factor*float64(mean)*1.02 {
			t.Errorf("replica %d has %d reads, the mean is %d", replica, n, mean)
		}
	}
}
