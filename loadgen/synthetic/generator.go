package synthetic

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"gannet/loadgen/trace"
)

const (
	defaultKeys    = 1_000_000
	maxKeyBytes    = 250
	maxValueBytes  = 1 << 20
	zipfKeyBytes   = 16
	zipfValueBytes = 100
	// seedStream keeps the streams of other users of the same seed apart.
	seedStream = 0x67616e6e6574
)

// Generator is an endless trace.Source.
type Generator struct {
	description string
	cluster     cluster
	zipf        *Zipf
	random      *rand.Rand
	key         [maxKeyBytes]byte
}

// Open makes the stream of a specification, of one of the forms
//
//	twitter:clusterNN[,keys=N]
//	zipf:ALPHA[,keys=N][,value=BYTES]
func Open(spec string, seed uint64) (*Generator, error) {
	kind, rest, _ := strings.Cut(spec, ":")
	name, options, _ := strings.Cut(rest, ",")
	c, err := base(kind, name)
	if err != nil {
		return nil, fmt.Errorf("synthetic %q: %w", spec, err)
	}
	keys, err := applyOptions(&c, options, kind)
	if err != nil {
		return nil, fmt.Errorf("synthetic %q: %w", spec, err)
	}
	zipf, err := NewZipf(c.alpha, keys)
	if err != nil {
		return nil, fmt.Errorf("synthetic %q: %w", spec, err)
	}
	return &Generator{
		description: describe(&c, kind, keys, seed),
		cluster:     c, zipf: zipf,
		random: rand.New(rand.NewPCG(seed, seedStream)),
	}, nil
}

// base is what the specification stands for without its options.
func base(kind, name string) (cluster, error) {
	switch kind {
	case "twitter":
		return findCluster(name)
	case "zipf":
		alpha, err := strconv.ParseFloat(name, 64)
		if err != nil {
			return cluster{}, fmt.Errorf("alpha %q is not a number: write, for instance, zipf:0.99,keys=1000000,value=100", name)
		}
		return cluster{
			alpha: alpha, keyBytes: zipfKeyBytes, valueBytes: zipfValueBytes,
			ops:  []weighted[trace.Op]{{trace.Get, 1}},
			ttls: []weighted[uint32]{{0, 1}},
		}, nil
	}
	return cluster{}, fmt.Errorf("unknown kind %q: use twitter:clusterNN or zipf:ALPHA,keys=N,value=BYTES", kind)
}

func applyOptions(c *cluster, options, kind string) (keys uint64, err error) {
	keys = defaultKeys
	for option := range strings.SplitSeq(options, ",") {
		name, text, _ := strings.Cut(option, "=")
		switch {
		case option == "":
		case name == "keys":
			keys, err = number(name, text, 1, 1<<40)
		case name == "value" && kind == "zipf":
			var n uint64
			n, err = number(name, text, 0, maxValueBytes)
			c.valueBytes = int(n)
		default:
			err = fmt.Errorf("unknown option %q: use keys=N (and, with zipf, value=BYTES)", option)
		}
		if err != nil {
			return 0, err
		}
	}
	if digits := len(strconv.FormatUint(keys, 16)); digits > c.keyBytes {
		return 0, fmt.Errorf("%d keys do not fit into keys of %d bytes: use fewer", keys, c.keyBytes)
	}
	return keys, nil
}

func number(name, text string, low, high uint64) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%s=%s: use a number from %d to %d", name, text, low, high)
	}
	return n, nil
}

func describe(c *cluster, kind string, keys, seed uint64) string {
	source := "a Zipf law"
	if kind == "twitter" {
		source = "the published statistics of Twitter's " + c.name
	}
	return fmt.Sprintf("synthetic load from %s: Zipf alpha %g over %d keys, keys of %d and values of %d bytes, seed %d",
		source, c.alpha, keys, c.keyBytes, c.valueBytes, seed)
}

// Describe says in one line that the stream is synthetic and where it comes from.
func (g *Generator) Describe() string { return g.description }

// Next fills in the next request; the error is always nil.
func (g *Generator) Next(req *trace.Request) error {
	rank := g.zipf.Draw(g.random)
	*req = trace.Request{
		Op:         pick(g.cluster.ops, g.random.Float64()),
		Key:        g.keyOf(rank),
		KeyBytes:   g.cluster.keyBytes,
		ValueBytes: g.cluster.valueBytes,
		TTLSeconds: pick(g.cluster.ttls, fraction(rank)),
	}
	return nil
}

// keyOf writes the rank in hexadecimal, padded with zeros to the key size.
func (g *Generator) keyOf(rank uint64) []byte {
	const digits = "0123456789abcdef"
	key := g.key[:g.cluster.keyBytes]
	for i := len(key) - 1; i >= 0; i-- {
		key[i] = digits[rank&15]
		rank >>= 4
	}
	return key
}

// fraction turns a rank into a number from 0 to 1 that is its own for good.
func fraction(rank uint64) float64 {
	x := (rank ^ rank>>31) * 0xD6E8FEB86659FD93
	x = (x ^ x>>32) * 0xD6E8FEB86659FD93
	return float64(x>>11) / (1 << 53)
}
