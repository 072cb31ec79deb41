// Package shard is one core's partition of a node: an index, items in slabs, expiry, eviction, leases and heavy hitters, in memory
// that a successor process can attach to.
//
// # The life of an item
//
// A PUT brings key, value and key hash. Write checks it, takes the next version and asks slotFor for a slot: a free one of the
// smallest class that holds the item, else one of a free slab, else that of a victim of the class's eviction policy, else a slightly
// larger slot, and at last one of a slab that is emptied for the purpose. fill copies key and value and computes the sums of each 1
// KiB unit; the header's second word comes last. publish then makes the item visible by one atomic store of its handle into a bucket
// of the index; an older item with the key is replaced by the same store and its slot freed. The policy learns of the item, and the
// timer wheel too if it has a TTL.
//
// Most PUTs are of a value of much the same size over one that is there, and nobody is just sending that: rewrite puts them into the
// same slot, and neither index nor free lists change. What such a PUT writes stands in a note behind the superblock until it is done,
// so that a successor can end it.
//
// A GET finds the bucket by the mixed hash, the entry by its tag, the item by its handle, and compares the key: two cache misses,
// which GetBatch overlaps over a batch. It asks for the lines of all by prefetch instructions (prefetch_*.s: Go has none of its own)
// and not by early loads, because a load that misses holds up everything behind it, and would have to be waited for in its stage. The value it returns lies in the slot. It stays there until the next mutation, or as long
// as the slot is pinned for a reply in flight.
//
// The item goes when it is deleted, replaced, expired (met by a GET or swept by the wheel), evicted, or found damaged after an
// unclean end. Each way is a Drop with a counter. Its entry goes first, by one store, then its slot: into the free list of its slab,
// or, if pinned, to wait for the last Unpin.
//
// # Memory
//
// Two mapped files (or anonymous regions) hold all that survives: index (superblock, class table, buckets) and slabs. Free lists,
// policies, timers, leases, tombstones and pins are rebuilt or start empty. Config.MemoryBytes is for everything; what slabs do not
// take at first is the budget. Index, policies and wheel take from the budget as the number of items grows, and when it is used up a
// slab is released for them. Handles are offsets in units of 8 bytes, never pointers. item.go draws the layout of an item, index.go
// tells how the index grows in place, balance.go how slabs move between classes.
//
// Costs, measured by shardcheck.Overhead at eviction with keys of 16 and values of 100 bytes: header 16, CRC 4, index about 7.5, and
// 8 for the links of exact LRU or the default policy's queues and ghost.
//
// # Invariants
//
//   - One goroutine owns a shard. Time is passed in, on the boot clock; it never goes back.
//   - An entry in the index leads to a whole item whose key's home is that bucket or one at most 127 before it; exactly one entry
//     leads to each item. Between the steps of a mutation there is always either the old state or the new one to be found, or, in a
//     rewrite, the note of the new one.
//   - The value in a pinned slot does not change.
//   - An overflow count is never lower than the number of entries away from that home.
//   - A slot that holds no visible item has word 0 (the header's second) or lies in a slab that has not been adopted.
//   - A slab changes its class only while no slot of it is in use or pinned.
//   - Versions only grow: an item's version is taken from the superblock before the item appears.
//   - In adopted slabs, policy and books know exactly the items the index leads to. Of slabs not adopted they know none.
//   - After an unclean end no handle is followed unchecked, and no value served unverified, until the background pass is through.
//   - After Open nothing is allocated on the Go heap, but for a policy whose pool finds the budget empty.
//
// Integrity checks these, as far as they can be seen from outside.
package shard
