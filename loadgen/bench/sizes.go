package bench

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gannet/loadgen/synthetic"
	"gannet/wire"
)

// Sizes gives each key's value its length: the same one whenever it is asked.
type Sizes interface {
	// Bytes is the length that belongs to a key, by the key's hash.
	Bytes(keyHash uint64) int
	Max() int
	String() string
}

// Fixed makes all values of one length.
type Fixed int

// Bytes implements [Sizes].
func (f Fixed) Bytes(uint64) int { return int(f) }

// Max implements [Sizes].
func (f Fixed) Max() int { return int(f) }

func (f Fixed) String() string { return fmt.Sprintf("%d bytes", int(f)) }

// drawn is any other law, as a table of equally likely lengths: each key takes the
// entry that its hash points at.
type drawn struct {
	table []int32
	most  int
	name  string
}

// tableBits is the size of the table: shares down to 1/65,536 show.
const tableBits = 16

func (d *drawn) Bytes(keyHash uint64) int {
	// The hash's own bits choose shards and ring members: take others.
	return int(d.table[keyHash*0x9E3779B97F4A7C15>>(64-tableBits)])
}

func (d *drawn) Max() int { return d.most }

func (d *drawn) String() string { return d.name }

// newDrawn fills a table by the inverse of a cumulative law.
func newDrawn(name string, quantile func(share float64) int) (*drawn, error) {
	d := &drawn{table: make([]int32, 1<<tableBits), name: name}
	for i := range d.table {
		bytes := quantile((float64(i) + 0.5) / (1 << tableBits))
		if bytes < 0 || bytes > wire.MaxValueBytes {
			return nil, optionError("value size %s: gives %d bytes: stay between 0 and %d", name, bytes, wire.MaxValueBytes)
		}
		d.table[i] = int32(bytes)
		d.most = max(d.most, bytes)
	}
	return d, nil
}

// Range makes lengths from low to high equally likely.
func Range(low, high int) (Sizes, error) {
	if low > high {
		return nil, optionError("value size %d-%d: the second number is the smaller one", low, high)
	}
	return newDrawn(fmt.Sprintf("%d to %d bytes", low, high), func(share float64) int {
		return low + int(share*float64(high-low+1))
	})
}

// Normal makes lengths normally distributed, cut off at one byte and at four
// standard deviations.
func Normal(mean, deviation float64) (Sizes, error) {
	if !(mean >= 1 && deviation >= 0) {
		return nil, optionError("value size normal:%g:%g: give a mean of 1 or more and a deviation of 0 or more", mean, deviation)
	}
	return newDrawn(fmt.Sprintf("normal, mean %g, deviation %g bytes", mean, deviation), func(share float64) int {
		z := math.Sqrt2 * math.Erfinv(2*share-1)
		return int(math.Round(max(mean+deviation*min(max(z, -4), 4), 1)))
	})
}

// Weighted makes lengths as likely as their shares say. These need not add up to 1.
func Weighted(name string, sizes []synthetic.SizeShare) (Sizes, error) {
	sizes = slices.Clone(sizes)
	slices.SortFunc(sizes, func(a, b synthetic.SizeShare) int { return a.Bytes - b.Bytes })
	sum := 0.0
	for _, s := range sizes {
		if !(s.Share >= 0) {
			return nil, optionError("value size %s: a share of %g", name, s.Share)
		}
		sum += s.Share
	}
	if !(sum > 0) {
		return nil, optionError("value size %s: the shares add up to %g", name, sum)
	}
	return newDrawn(name, func(share float64) int {
		left := share * sum
		for _, s := range sizes {
			if left -= s.Share; left < 0 {
				return s.Bytes
			}
		}
		return sizes[len(sizes)-1].Bytes
	})
}

// ParseSizes reads "100", "fixed:100", "100-2000", "normal:1000:200",
// "list:64:50,1024:30" (sizes with their weights), or the name of a model.
func ParseSizes(text string) (Sizes, error) {
	if n, err := strconv.Atoi(strings.TrimPrefix(text, "fixed:")); err == nil {
		if n < 0 || n > wire.MaxValueBytes {
			return nil, optionError("value size %d: give 0 to %d", n, wire.MaxValueBytes)
		}
		return Fixed(n), nil
	}
	kind, rest, _ := strings.Cut(text, ":")
	switch kind {
	case "normal":
		mean, deviation, _ := strings.Cut(rest, ":")
		m, err1 := strconv.ParseFloat(mean, 64)
		d, err2 := strconv.ParseFloat(deviation, 64)
		if err1 == nil && err2 == nil {
			return Normal(m, d)
		}
	case "list":
		return parseList(text, rest)
	case "twitter", "cachelib":
		m, err := synthetic.OpenModel(text)
		if err != nil {
			return nil, optionError("%v", err)
		}
		return Weighted(m.Source, m.Sizes)
	default:
		low, high, _ := strings.Cut(text, "-")
		l, err1 := strconv.Atoi(low)
		h, err2 := strconv.Atoi(high)
		if err1 == nil && err2 == nil {
			return Range(l, h)
		}
	}
	return nil, optionError("value size %q: write 100, 100-2000, normal:1000:200, list:64:50,1024:30, %s", text, synthetic.Models)
}

func parseList(text, list string) (Sizes, error) {
	var sizes []synthetic.SizeShare
	for entry := range strings.SplitSeq(list, ",") {
		size, weight, weighted := strings.Cut(entry, ":")
		bytes, err := strconv.Atoi(size)
		share := 1.0
		if err == nil && weighted {
			share, err = strconv.ParseFloat(weight, 64)
		}
		if err != nil {
			return nil, optionError("value size %q: entry %q: write BYTES:WEIGHT", text, entry)
		}
		sizes = append(sizes, synthetic.SizeShare{Bytes: bytes, Share: share})
	}
	return Weighted(text, sizes)
}
