package evict

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// None is the handle of no item.
const None uint32 = 0

// AskPolicy stands in HitBits where Hit does more than to change bits.
const AskPolicy uint8 = 0xFF

// Default is the policy a shard uses when its configuration says "default".
const Default = "s3fifo"

// ErrUnknownPolicy is returned by New for a name that is not in Names.
var ErrUnknownPolicy = errors.New("unknown eviction policy")

// Links are the neighbours of an item in the list of a policy that NeedsLinks.
// They live in the item's slot; only the policy writes them.
type Links struct{ Prev, Next uint32 }

// Meta gives a policy access to the items of its shard by handle. A policy asks
// only for handles that were inserted and not yet removed or returned as victims.
type Meta interface {
	// Bits returns the policy's three bits in the item's header.
	Bits(h uint32) uint8
	// SetBits stores them; only the low three bits of b are ever set.
	SetBits(h uint32, b uint8)
	// Links returns the item's links; called only by policies that NeedsLinks.
	Links(h uint32) *Links
	// Hash returns the key hash of the item.
	Hash(h uint32) uint64
}

// Policy orders the items of one size class for eviction. It belongs to the one
// goroutine that owns the shard.
type Policy interface {
	// Name is the name New knows the policy by.
	Name() string
	// NeedsLinks says whether items must carry Links in their slots.
	NeedsLinks() bool
	// Insert takes in a new item whose slot is filled; it sets the item's bits.
	Insert(h uint32, hash uint64)
	// InsertSpare takes in a new item that is the first to go when room is needed, as
	// far as the policy can tell them apart: see spare.go.
	InsertSpare(h uint32)
	// IsSpare says whether an item is such a one still; it may be the victim just
	// returned.
	IsSpare(h uint32) bool
	// Adopt takes in an item found in memory after a warm restart; what its bits
	// say about its past is kept.
	Adopt(h uint32)
	// Hit notes that the item was read.
	Hit(h uint32)
	// HitBits says what Hit makes of an item with given bits where it does nothing but
	// change them, so that a shard can do it in passing: the bits after it, else
	// AskPolicy. It is the same for all instances of a policy.
	HitBits() [8]uint8
	// Rewrite notes that the item gets another value in its place, and counts it as a
	// use. False, with nothing done, when it must be removed and inserted instead,
	// because a value that is not spare makes another item of it.
	Rewrite(h uint32) bool
	// Remove forgets an item that was deleted, expired or moved away. The handle
	// can be inserted again at once, for another item. Call it while the item's
	// bits and links are still in place.
	Remove(h uint32)
	// Victim chooses an item, forgets it and remembers its key as recently
	// evicted. ok is false when the policy holds no item.
	Victim() (h uint32, ok bool)
	// Restore takes back the victim just returned, because it cannot be evicted
	// now (it is pinned). It becomes the last candidate.
	Restore(h uint32)
	// Len is the number of items held.
	Len() int
	// Bytes is the memory of the policy's own that is in use now.
	Bytes() int64
	// Close gives the policy's memory back to the pool. The policy is empty then.
	Close()
}

// Config has the choices of one policy instance.
type Config struct {
	// Pool is where the policy's own memory comes from. Instances of one shard
	// share one pool, so that memory follows the slabs from class to class.
	// nil gives the instance a pool of its own on the Go heap.
	Pool *Pool
}

// makers is the one list of policies.
var makers = map[string]func(Meta, Config) Policy{
	"lru":    func(m Meta, _ Config) Policy { return newLRU(m) },
	"s3fifo": func(m Meta, c Config) Policy { return newS3FIFO(m, c) },
}

// New makes an empty policy. name is one of Names or "default".
func New(name string, meta Meta, cfg Config) (Policy, error) {
	if name == "default" {
		name = Default
	}
	mk, ok := makers[name]
	if !ok {
		return nil, fmt.Errorf("%w %q: use default or one of %s", ErrUnknownPolicy, name, strings.Join(Names(), ", "))
	}
	if cfg.Pool == nil {
		cfg.Pool = NewPool(nil)
	}
	return mk(meta, cfg), nil
}

// Names lists the policies, sorted.
func Names() []string {
	names := make([]string, 0, len(makers))
	for n := range makers {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}
