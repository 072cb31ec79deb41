package client

import (
	"bytes"
	"hash/fnv"
	"sync/atomic"
)

// sizes learns how long values are, by the part of a key that says what kind of
// thing it names: what stands before the first of : / . | # or, without one, nothing.
// A miss counts as an empty value.
type sizes struct {
	overall atomic.Int64
	kinds   [256]atomic.Int64
}

const (
	sizeUnit = 16 // sizes are kept in sixteenths, plus one: 0 = nothing learned
	// firstSize is what values are taken to be before the first was seen. Too much
	// costs the first call some time, too little its neighbours.
	firstSize = 2048
)

// expect is how long the value of a key is likely to be.
func (s *sizes) expect(key []byte) int {
	if v := s.kind(key).Load(); v != 0 {
		return int((v - 1) / sizeUnit)
	}
	if v := s.overall.Load(); v != 0 {
		return int((v - 1) / sizeUnit)
	}
	return firstSize
}

// observe takes in the length of a value. Sizes rise faster than they fall: a reply
// that is longer than its slot is in another's way.
func (s *sizes) observe(key []byte, valueBytes int) {
	learn(s.kind(key), valueBytes)
	learn(&s.overall, valueBytes)
}

// learn updates one mean. Two writers at once lose one sample, which does no harm.
func learn(mean *atomic.Int64, valueBytes int) {
	sample, was := int64(valueBytes)*sizeUnit, mean.Load()-1
	switch {
	case was < 0:
		was = sample
	case sample > was:
		was += (sample - was + 3) / 4
	default:
		was -= (was - sample) / 16
	}
	mean.Store(was + 1)
}

func (s *sizes) kind(key []byte) *atomic.Int64 {
	end := bytes.IndexAny(key, ":/.|#")
	if end < 0 {
		return &s.overall
	}
	h := fnv.New32a()
	h.Write(key[:end]) // never fails
	return &s.kinds[h.Sum32()%uint32(len(s.kinds))]
}
