package bench

import (
	"math/rand/v2"
	"strings"

	"gannet/loadgen/synthetic"
	"gannet/wire"
)

// popularity draws key numbers, 0 to keys - 1.
type popularity interface {
	draw(random *rand.Rand) uint32
}

type uniform struct{ keys uint64 }

func (u uniform) draw(random *rand.Rand) uint32 { return uint32(random.Uint64N(u.keys)) }

type zipf struct{ law *synthetic.Zipf }

func (z zipf) draw(random *rand.Rand) uint32 { return uint32(z.law.Draw(random) - 1) }

func newPopularity(o *Options) (popularity, error) {
	if o.Popularity != nil {
		return modelled{o.Popularity, uint64(o.Keys)}, nil
	}
	if o.ZipfS == 0 {
		return uniform{uint64(o.Keys)}, nil
	}
	law, err := synthetic.NewZipf(o.ZipfS, uint64(o.Keys))
	if err != nil {
		return nil, optionError("%v", err)
	}
	return zipf{law}, nil
}

// modelled scales a model's popularity to the number of keys.
type modelled struct {
	model *synthetic.Popularity
	keys  uint64
}

func (m modelled) draw(random *rand.Rand) uint32 {
	return uint32(min(uint64(m.model.Draw(random)*float64(m.keys)), m.keys-1))
}

// keyText writes keys: a letter, and the number in hexadecimal with zeros in front,
// so that all keys have the same length.
type keyText struct{ bytes int }

// keyZero begins with key number 0 of any length.
var keyZero = "k" + strings.Repeat("0", wire.MaxKeyBytes)

// minKeyBytes holds any key number.
const minKeyBytes = 9

func (k keyText) append(dst []byte, number uint32) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, keyZero[:k.bytes]...)
	for at := len(dst) - 1; number != 0; at-- {
		dst[at] = digits[number&15]
		number >>= 4
	}
	return dst
}

// shortKey is the length up to which hash clears little memory.
const shortKey = 32

func (k keyText) hash(number uint32) uint64 {
	if k.bytes <= shortKey {
		var room [shortKey]byte
		return wire.KeyHash(k.append(room[:0], number))
	}
	var room [wire.MaxKeyBytes]byte
	return wire.KeyHash(k.append(room[:0], number))
}

// number reads a key that append wrote.
func (k keyText) number(key []byte) (number uint32, ok bool) {
	if len(key) != k.bytes || key[0] != 'k' {
		return 0, false
	}
	for _, c := range key[1:] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		if number >= 1<<28 {
			return 0, false
		}
		number = number<<4 | uint32(c)
	}
	return number, true
}

// draft is a request whose keys have been drawn, and which has not been sent.
type draft struct {
	shard int
	keys  []uint32 // none: there is no draft
	write bool
}

// source makes drafts. A run's draws; the preload's counts.
type source interface {
	// next fills the draft in; false when there is nothing more to send now.
	next(d *draft) bool
}

// drawing is the source of a run: keys by their popularity, kinds by the ratio.
type drawing struct {
	text       keyText
	popularity popularity
	random     *rand.Rand
	writeRatio float64
	each       int
	bins       []bin // by shard
}

// bin collects the keys of one shard until they make a request.
type bin struct {
	keys   []uint32
	served bool // this thread has lanes to the shard
}

func newDrawing(o *Options, p popularity, random *rand.Rand, served []bool) *drawing {
	d := &drawing{
		text: keyText{o.KeyBytes}, popularity: p, random: random, writeRatio: o.WriteRatio, each: o.KeysPerRequest,
		bins: make([]bin, len(served)),
	}
	for shard := range d.bins {
		d.bins[shard] = bin{make([]uint32, 0, d.each), served[shard]}
	}
	return d
}

// next draws keys until those of one shard make a request.
func (s *drawing) next(d *draft) bool {
	for {
		key, shard := s.popularity.draw(s.random), 0
		if len(s.bins) > 1 {
			shard = wire.ShardOf(s.text.hash(key), len(s.bins))
		}
		b := &s.bins[shard]
		if !b.served {
			continue
		}
		b.keys = append(b.keys, key)
		if len(b.keys) < s.each {
			continue
		}
		d.shard, d.keys = shard, append(d.keys[:0], b.keys...)
		d.write = s.writeRatio > 0 && s.random.Float64() < s.writeRatio
		b.keys = b.keys[:0]
		return true
	}
}

// storing is the source of the preload: every key of the shards that are the
// thread's to fill, once, and again when that failed.
type storing struct {
	text  keyText
	keys  uint32
	each  int
	bins  []bin
	at    uint32
	again []uint32
}

func newStoring(o *Options, each int, owned []bool) *storing {
	s := &storing{text: keyText{o.KeyBytes}, keys: uint32(o.Keys), each: each, bins: make([]bin, len(owned))}
	for shard := range s.bins {
		s.bins[shard] = bin{make([]uint32, 0, each), owned[shard]}
	}
	return s
}

func (s *storing) next(d *draft) bool {
	d.write = true
	for {
		key, ok := s.key()
		if !ok {
			return s.rest(d)
		}
		shard := 0
		if len(s.bins) > 1 {
			shard = wire.ShardOf(s.text.hash(key), len(s.bins))
		}
		b := &s.bins[shard]
		if !b.served {
			continue
		}
		if b.keys = append(b.keys, key); len(b.keys) == s.each {
			s.take(d, shard)
			return true
		}
	}
}

// key is the next one to be stored.
func (s *storing) key() (uint32, bool) {
	if n := len(s.again); n > 0 {
		key := s.again[n-1]
		s.again = s.again[:n-1]
		return key, true
	}
	if s.at == s.keys {
		return 0, false
	}
	s.at++
	return s.at - 1, true
}

// rest sends what did not fill a request.
func (s *storing) rest(d *draft) bool {
	for shard := range s.bins {
		if len(s.bins[shard].keys) > 0 {
			s.take(d, shard)
			return true
		}
	}
	return false
}

func (s *storing) take(d *draft, shard int) {
	b := &s.bins[shard]
	d.shard, d.keys = shard, append(d.keys[:0], b.keys...)
	b.keys = b.keys[:0]
}
