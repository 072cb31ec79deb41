package synthetic

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Zipf draws ranks 1 to n with probability proportional to rank^-alpha, for any
// alpha from 0 (uniform) up, below and at 1 as well, by rejection-inversion
// (W. Hörmann and G. Derflinger, 1996): constant time, no tables.
type Zipf struct {
	alpha     float64
	ranks     float64
	integral1 float64 // integral of the hat up to 1.5, less the first rank's share
	integralN float64 // integral of the hat up to n + 0.5
	squeeze   float64 // nearer to the rank than this: accept without computing
}

// NewZipf prepares a law over ranks 1 to n.
func NewZipf(alpha float64, ranks uint64) (*Zipf, error) {
	if !(alpha >= 0 && alpha <= 20) {
		return nil, fmt.Errorf("zipf: alpha %v: use a number from 0 to 20", alpha)
	}
	if ranks < 1 || ranks > 1<<48 {
		return nil, fmt.Errorf("zipf: %d keys: use 1 to 2^48", ranks)
	}
	z := &Zipf{alpha: alpha, ranks: float64(ranks)}
	z.integral1 = z.integral(1.5) - 1
	z.integralN = z.integral(z.ranks + 0.5)
	z.squeeze = 2 - z.inverse(z.integral(2.5)-z.density(2))
	return z, nil
}

// Draw returns a rank from 1 to n.
func (z *Zipf) Draw(r *rand.Rand) uint64 {
	for {
		u := z.integralN + r.Float64()*(z.integral1-z.integralN)
		x := z.inverse(u)
		rank := min(max(math.Floor(x+0.5), 1), z.ranks)
		if rank-x <= z.squeeze || u >= z.integral(rank+0.5)-z.density(rank) {
			return uint64(rank)
		}
	}
}

func (z *Zipf) density(x float64) float64 { return math.Exp(-z.alpha * math.Log(x)) }

// integral is that of the density from 1 to x; expm1 keeps it exact near alpha 1.
func (z *Zipf) integral(x float64) float64 {
	return expm1Over((1-z.alpha)*math.Log(x)) * math.Log(x)
}

func (z *Zipf) inverse(y float64) float64 {
	t := max(y*(1-z.alpha), -1)
	return math.Exp(log1pOver(t) * y)
}

// expm1Over is (e^x - 1)/x.
func expm1Over(x float64) float64 {
	if math.Abs(x) < 1e-8 {
		return 1 + x/2
	}
	return math.Expm1(x) / x
}

// log1pOver is ln(1+x)/x.
func log1pOver(x float64) float64 {
	if math.Abs(x) < 1e-8 {
		return 1 - x/2
	}
	return math.Log1p(x) / x
}
