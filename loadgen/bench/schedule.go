package bench

import "math/rand/v2"

// schedule draws up the moments at which an open loop's requests are due, whatever
// becomes of those before them. Times are nanoseconds since the start of the run.
type schedule struct {
	gapNanos float64
	poisson  bool
	random   *rand.Rand
	nextAt   float64
}

func newSchedule(startNanos int64, rate float64, arrivals Arrivals, random *rand.Rand) *schedule {
	s := &schedule{gapNanos: 1e9 / rate, poisson: arrivals != Uniform, random: random}
	s.nextAt = float64(startNanos) + s.gap()*s.random.Float64() // threads do not march in step
	return s
}

// at is the moment of the next request.
func (s *schedule) at() int64 { return int64(s.nextAt) }

// pass goes on to the one after it.
func (s *schedule) pass() { s.nextAt += s.gap() }

func (s *schedule) gap() float64 {
	if s.poisson {
		return s.random.ExpFloat64() * s.gapNanos
	}
	return s.gapNanos
}

// passTo passes all requests due before a moment, and says how many those were.
func (s *schedule) passTo(nanos int64) (passed uint64) {
	for s.at() < nanos {
		s.pass()
		passed++
	}
	return passed
}
