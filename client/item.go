package client

import (
	"fmt"
	"time"
)

// NoTTL is the TTL of an item that never expires.
const NoTTL time.Duration = -1

// MaxTTL is the longest TTL the protocol knows: twelve times thirty days.
const MaxTTL = 12 * 30 * 24 * time.Hour

// Version orders the writes of a key: the greater one is the newer one. It is
// 24 bits of ring epoch and 40 bits of sequence, compared as one integer.
type Version uint64

// Epoch is the ring epoch in which the write happened.
func (v Version) Epoch() uint32 { return uint32(v >> 40) }

// Sequence is the position of the write within its epoch.
func (v Version) Sequence() uint64 { return uint64(v) & (1<<40 - 1) }

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Epoch(), v.Sequence()) }

// Lease is the right to load a key, given to one reader at a time. Hand it back
// with the Put that fills the key. The zero Lease is none.
type Lease uint64

// Item is what a Get brings back.
type Item struct {
	// Value is the item's value. After GetInto it lies in the caller's buffer.
	Value []byte
	// Version is the version of the write that stored the value.
	Version Version
	// TTL is the time left to live, in whole seconds, or NoTTL.
	TTL time.Duration
	// Age is the time since the value was stored, in whole seconds.
	Age time.Duration
	// Stale says that the item is past its soft TTL.
	Stale bool
	// Lease, when not zero, asks this reader to load the value and Put it: the
	// key missed, or is stale. Only Gets with TakeLease receive one.
	Lease Lease
	// Wait is how long to wait before asking again, beside ErrLeaseWait.
	Wait time.Duration
	// FromL1 says that the item is this client's own copy; see WithL1.
	FromL1 bool
	// Loaded says that GetOrLoad had its load function bring the value. Whoever waited
	// for the same load in this process has it set, too.
	Loaded bool
	// NotStored says why a loaded value is not in the cache: ErrLeaseRefused when a
	// delete or a newer write overtook it, in which case it may be older than what
	// they did, or what went wrong. Nil for all other items.
	NotStored error
}

// Result is the answer for one key of a GetMulti.
type Result struct {
	Item
	// Err is nil for a hit, ErrMiss for a miss, and else why there is no answer.
	Err error
}
