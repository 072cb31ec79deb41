package ringcheck

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"

	"gannet/ring"
)

// Figures are the results for member sets of one size.
type Figures struct {
	Members, Sets int
	// Max/mean of the shares: with plain 256 points a member, corrected, and after a
	// join or leave was corrected.
	Plain, Corrected, Changed Distribution
	// What a join and a leave move, as a multiple of the ideal.
	Join, Leave Distribution
}

// Distribution sums a sample up.
type Distribution struct{ Mean, P50, P99, Max float64 }

func (d Distribution) String() string {
	return fmt.Sprintf("mean %.4f, p50 %.4f, p99 %.4f, max %.4f", d.Mean, d.P50, d.P99, d.Max)
}

// outcome is what one member set gave.
type outcome struct{ plain, corrected, joined, left, join, leave float64 }

// Measure takes sets random member sets of equal weights. The same seed gives the
// same figures.
func Measure(seed uint64, members, sets int) (Figures, error) {
	outcomes := make([]outcome, sets)
	var group sync.WaitGroup
	var failed error
	var once sync.Once
	work := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for i := range work {
				random := rand.New(rand.NewPCG(seed, uint64(i)<<16|uint64(members)))
				var err error
				if outcomes[i], err = measureSet(random, members); err != nil {
					once.Do(func() { failed = err })
				}
			}
		})
	}
	for i := range sets {
		work <- i
	}
	close(work)
	group.Wait()
	return sumUp(members, outcomes), failed
}

func measureSet(random *rand.Rand, count int) (outcome, error) {
	var o outcome
	members := RandomMembers(random, count)
	plain, err := build(members)
	if err != nil {
		return o, err
	}
	corrected, err := build(ring.Correct(members))
	if err != nil {
		return o, err
	}
	o.plain, o.corrected = plain.Stats().MaxOverMean, corrected.Stats().MaxOverMean

	joined, err := join(random, corrected)
	if err != nil {
		return o, err
	}
	o.join, o.joined = Moved(corrected, joined)*float64(count+1), joined.Stats().MaxOverMean
	if count == 1 {
		return o, nil
	}
	left, err := leave(random, corrected)
	if err != nil {
		return o, err
	}
	o.leave, o.left = Moved(corrected, left)*float64(count), left.Stats().MaxOverMean
	return o, nil
}

// Churn takes one ring through joins and leaves, as many of each on average.
// Corrected and Plain stay empty.
func Churn(seed uint64, members, changes int) (Figures, error) {
	random := rand.New(rand.NewPCG(seed, uint64(members)))
	f := Figures{Members: members, Sets: changes}
	now, err := build(ring.Correct(RandomMembers(random, members)))
	if err != nil {
		return f, err
	}
	var changed, joins, leaves []float64
	for range changes {
		count, next := len(now.Members()), (*ring.Ring)(nil)
		if count <= members/2 || count < 2*members && random.IntN(2) == 0 {
			if next, err = join(random, now); err != nil {
				return f, err
			}
			joins = append(joins, Moved(now, next)*float64(count+1))
		} else {
			if next, err = leave(random, now); err != nil {
				return f, err
			}
			leaves = append(leaves, Moved(now, next)*float64(count))
		}
		changed = append(changed, next.Stats().MaxOverMean)
		now = next
	}
	f.Changed, f.Join, f.Leave = distributionOf(changed), distributionOf(joins), distributionOf(leaves)
	return f, nil
}

func join(random *rand.Rand, now *ring.Ring) (*ring.Ring, error) {
	return build(ring.Correct(append(now.Spec().Members, RandomMembers(random, 1)...)))
}

func leave(random *rand.Rand, now *ring.Ring) (*ring.Ring, error) {
	members := now.Spec().Members
	at := random.IntN(len(members))
	return build(ring.Correct(slices.Delete(members, at, at+1)))
}

// Moved is the part of the circle whose leader differs.
func Moved(old, next *ring.Ring) float64 {
	moved := 0.0
	for _, m := range ring.Diff(old, next) {
		if m.LeaderChanged() {
			moved += m.Share()
		}
	}
	return moved
}

// build makes a ring without followers: leaders are what is measured.
func build(members []ring.Member) (*ring.Ring, error) {
	return ring.Build(ring.Spec{Epoch: 1, Replicas: 1, Members: members})
}

// RandomMembers are members of weight 1 with random ids, in three zones.
func RandomMembers(random *rand.Rand, count int) []ring.Member {
	members := make([]ring.Member, count)
	for i := range members {
		members[i] = ring.Member{
			ID: random.Uint64() | 1, Name: fmt.Sprintf("node-%d", i), Zone: string(rune('a' + i%3)), Weight: 1, Shards: 1,
			Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 9800),
		}
	}
	return members
}

func sumUp(members int, outcomes []outcome) Figures {
	column := func(pick func(outcome) []float64) Distribution {
		var values []float64
		for _, o := range outcomes {
			values = append(values, pick(o)...)
		}
		return distributionOf(values)
	}
	return Figures{
		Members: members, Sets: len(outcomes),
		Plain:     column(func(o outcome) []float64 { return []float64{o.plain} }),
		Corrected: column(func(o outcome) []float64 { return []float64{o.corrected} }),
		Changed:   column(func(o outcome) []float64 { return []float64{o.joined, o.left} }),
		Join:      column(func(o outcome) []float64 { return []float64{o.join} }),
		Leave:     column(func(o outcome) []float64 { return []float64{o.leave} }),
	}
}

// distributionOf sorts values. Percentiles are by nearest rank.
func distributionOf(values []float64) Distribution {
	if len(values) == 0 {
		return Distribution{}
	}
	slices.Sort(values)
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	rank := func(percent int) float64 { return values[(len(values)*percent+99)/100-1] }
	return Distribution{Mean: sum / float64(len(values)), P50: rank(50), P99: rank(99), Max: values[len(values)-1]}
}
