package ringcheck

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"gannet/ring"
)

// LookupFigures are what finding an owner and a replica set costs.
type LookupFigures struct {
	Members                 int
	OwnerNanos, PairNanos   float64 // best of the rounds
	AllocationsPerMillion   uint64
	Lookups, Rounds, Points int
}

// Lookup measures rings of pairs, corrected, in three zones. Hashes are random, so
// that the tables come from whichever cache they fit in.
func Lookup(seed uint64, members, rounds int) (LookupFigures, error) {
	const lookups = 1_000_000
	random := rand.New(rand.NewPCG(seed, uint64(members)))
	r, err := ring.New(1, ring.Correct(RandomMembers(random, members)))
	if err != nil {
		return LookupFigures{}, fmt.Errorf("ring of %d members: %w", members, err)
	}
	f := LookupFigures{Members: members, Lookups: lookups, Rounds: rounds, Points: r.Stats().Points}
	hashes := make([]uint64, 1<<14)
	for i := range hashes {
		hashes[i] = random.Uint64()
	}
	dst, before := make([]*ring.Member, 0, ring.MaxReplicas), allocations()
	for round := range rounds {
		owner := nanosEach(lookups, func(i int) { dst = append(dst[:0], r.Owner(hashes[i%len(hashes)]+uint64(i)<<40)) })
		pair := nanosEach(lookups, func(i int) { dst = r.Replicas(hashes[i%len(hashes)]+uint64(i)<<40, dst[:0]) })
		if round == 0 || owner < f.OwnerNanos {
			f.OwnerNanos = owner
		}
		if round == 0 || pair < f.PairNanos {
			f.PairNanos = pair
		}
	}
	f.AllocationsPerMillion = (allocations() - before) / uint64(2*max(rounds, 1))
	return f, nil
}

func nanosEach(count int, do func(i int)) float64 {
	begin := time.Now()
	for i := range count {
		do(i)
	}
	return float64(time.Since(begin).Nanoseconds()) / float64(count)
}

func allocations() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
