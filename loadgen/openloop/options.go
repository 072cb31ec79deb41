package openloop

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"gannet/wire"
)

// ErrOptions is wrapped by errors about options that make no sense.
var ErrOptions = errors.New("open-loop options")

// Options says what to offer. The keys must be on the node already: see Key.
type Options struct {
	Server   netip.AddrPort // any shard of the node
	Keys     int            // GETs draw from so many keys, uniformly
	Rate     float64        // requests a second
	Duration time.Duration  // of the schedule
	Budget   time.Duration  // of each request: in its header, and the bound of good
	Sockets  int            // to each shard; 0 = 1
	// KeysPerRequest is how many keys a datagram asks for; 0 = 1. It shifts the cost
	// towards the node: on one machine that lets a generator go beyond its limit.
	KeysPerRequest int
	// CPUs are those the generator's threads are pinned to, in turn; nil leaves the
	// choice to the kernel. On one machine with the node, keep them off its shards'
	// CPUs: who shares a CPU with what it measures, measures itself.
	CPUs []int
	Seed uint64
}

func (o *Options) check() error {
	if o.Sockets == 0 {
		o.Sockets = 1
	}
	if o.KeysPerRequest == 0 {
		o.KeysPerRequest = 1
	}
	switch {
	case o.KeysPerRequest < 1 || o.KeysPerRequest > maxKeysPerRequest:
		return fmt.Errorf("%w: %d keys a request: give 1 to %d", ErrOptions, o.KeysPerRequest, maxKeysPerRequest)
	case o.Keys < 1 || o.Keys > 1<<26:
		return fmt.Errorf("%w: %d keys: give 1 to %d", ErrOptions, o.Keys, 1<<26)
	case o.Rate < 1:
		return fmt.Errorf("%w: %g requests a second: give 1 or more", ErrOptions, o.Rate)
	case o.Duration < 10*time.Millisecond:
		return fmt.Errorf("%w: duration %v: give 10ms or more", ErrOptions, o.Duration)
	case o.Budget < 10*time.Microsecond || o.Budget > time.Minute:
		return fmt.Errorf("%w: budget %v: give 10µs to 1m", ErrOptions, o.Budget)
	case o.Sockets < 1 || o.Sockets > 64:
		return fmt.Errorf("%w: %d sockets: give 1 to 64", ErrOptions, o.Sockets)
	case !o.Server.IsValid():
		return fmt.Errorf("%w: no server: give an address and port", ErrOptions)
	}
	return nil
}

// Result is what became of the load. Sent = Good + Late + Shed + Missed + Failed
// + Lost.
type Result struct {
	Sent   int64 `json:"sent"`
	Good   int64 `json:"good"`   // hits within their budget
	Late   int64 `json:"late"`   // hits after it
	Shed   int64 `json:"shed"`   // the node said that it would not
	Missed int64 `json:"missed"` // not on the node
	Failed int64 `json:"failed"` // other answers
	Lost   int64 `json:"lost"`   // no answer

	Seconds   float64 `json:"seconds"`
	Offered   float64 `json:"offered"` // requests a second that were really sent
	Goodput   float64 `json:"goodput"` // good answers a second
	P50Micros float64 `json:"p50_us"`  // of hits, from their scheduled times
	P99Micros float64 `json:"p99_us"`
}

func (r *Result) add(o *Result) {
	r.Sent += o.Sent
	r.Good += o.Good
	r.Late += o.Late
	r.Shed += o.Shed
	r.Missed += o.Missed
	r.Failed += o.Failed
}

// Key appends the key with a number, 0 to Options.Keys − 1.
func Key(dst []byte, n int) []byte {
	var digits [keyBytes - len(keyPrefix)]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = '0' + byte(n%10)
		n /= 10
	}
	return append(append(dst, keyPrefix...), digits[:]...)
}

const (
	keyPrefix = "open"
	keyBytes  = 16
	// opBytes is one GET of such a key.
	opBytes = wire.OpHeaderBytes + keyBytes
	// maxKeysPerRequest keeps a request within an Ethernet frame.
	maxKeysPerRequest = 32
	// batchDatagrams is how many datagrams a system call sends or takes.
	batchDatagrams = 64
	// replyBytes is room for a reply; longer values are cut off, which is fine:
	// only the header counts here.
	replyBytes = 2048
)

// requestBytes is the length of every request of so many keys.
func requestBytes(keys int) int { return wire.RequestHeaderBytes + keys*opBytes }
