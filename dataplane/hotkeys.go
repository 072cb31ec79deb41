package dataplane

import (
	"sync/atomic"

	"gannet/board"
	"gannet/ring"
	"gannet/shard"
	"gannet/wire"
)

// HotTable is where items are published that are answered before their GETs reach
// the loop. It belongs to the loop, makes no system call and allocates nothing.
type HotTable interface {
	// Publish lets an item be answered. False when it does not fit.
	Publish(item *shard.Published) (slot int, ok bool)
	// Withdraw takes the item of a slot back: no GET that is sent once it has
	// returned is answered with it.
	Withdraw(slot int)
	// Hits is how many GETs were answered out of a slot so far, whatever was in it.
	Hits(slot int) uint64
	// SetReply says what the headers of replies tell.
	SetReply(epoch uint32, load uint16)
	// Stamp tells that the loop turns; without it nothing is answered for long.
	Stamp(nowNanos int64)
}

// HotSlots is the number of slots of a table at most.
const HotSlots = 256

const (
	hotInterval = int64(100e6)
	// hotFromCount is how many sampled GETs make a key a candidate. It stays as
	// long as it has half of them.
	hotFromCount = 8
	maxPublished = 64
)

// hotKeys publishes the shard's heavy hitters, in a pass every interval, and
// withdraws what has cooled. Whatever changes or drops an item withdraws it at
// once, before anybody is told (see Log.Append and applyOne).
type hotKeys struct {
	table     HotTable                 // nil = none
	next      atomic.Pointer[HotTable] // set by UseHot, taken by the loop
	ended     bool
	interval  int64
	passNanos int64 // when the last pass was
	beatNanos int64
	ring      *ring.Ring // the one under which all was published
	reply     uint64     // as SetReply was told, epoch | load; ^0 = never

	size    int              // published
	marks   [256]uint8       // how many of them, by eight bits of their hash: most keys are none
	hashes  [HotSlots]uint64 // by slot; 0 = free
	entries [HotSlots]hotEntry

	candidates []shard.Hot
	item       shard.Published
	counts     *[board.NumCounters]uint64 // the loop's
}

type hotEntry struct {
	since    uint64 // hits of the slot when this was published
	seen     uint64 // hits taken note of
	left     uint64 // of these, not enough for a sample
	wanted   bool   // by the pass
	keyBytes uint8
	key      [shard.MaxKeyBytes]byte
}

func (h *hotKeys) init(cfg *Config, counts *counts) {
	if cfg.Log == nil {
		return
	}
	cfg.Log.hot = h
	h.counts = &counts.n
	h.interval = cfg.HotNanos
	h.candidates = make([]shard.Hot, 0, board.MaxHot*2)
	h.start(cfg.Hot)
}

// UseHot gives the loop another table in place of its present one, nil for none,
// from its next turn on. It is safe to call from any goroutine, and does nothing
// for a loop without Config.Log. ChangePort leaves the loop without a table.
func (l *Loop) UseHot(table HotTable) { l.hot.next.Store(&table) }

func (h *hotKeys) start(table HotTable) {
	h.stop()
	h.table, h.reply, h.beatNanos = table, ^uint64(0), 0
}

// attendHot is called at the beginning of a turn, once the ring is adopted.
func (l *Loop) attendHot() {
	h := &l.hot
	if h.next.Load() != nil && h.counts != nil && !h.ended {
		h.start(*h.next.Swap(nil))
	}
	if h.table == nil {
		return
	}
	if h.ring != l.ring {
		// Some keys are not this node's any more.
		h.withdrawAll()
		h.ring = l.ring
	}
	if reply := uint64(l.epoch) | uint64(l.load.figure)<<32; reply != h.reply {
		h.reply = reply
		h.table.SetReply(l.epoch, l.load.figure)
	}
	if l.nowNanos-h.beatNanos >= beatNanos || h.beatNanos == 0 {
		h.beatNanos = l.nowNanos
		h.table.Stamp(l.nowNanos)
	}
	if l.nowNanos-h.passNanos >= h.interval {
		h.passNanos = l.nowNanos
		l.passHot()
	}
}

// passHot takes note of what was answered, withdraws what has cooled, and
// publishes what is hot.
func (l *Loop) passHot() {
	h := &l.hot
	l.noteHits()
	h.candidates = l.store.Heavy(h.candidates[:0])
	for slot := range h.entries {
		h.entries[slot].wanted = false
	}
	for i := range h.candidates[:min(len(h.candidates), maxPublished)] {
		l.consider(&h.candidates[i])
	}
	for slot, hash := range h.hashes {
		if hash != 0 && !h.entries[slot].wanted {
			h.withdraw(slot)
		}
	}
}

// noteHits tells the shard of what was answered since the last pass.
func (l *Loop) noteHits() {
	h := &l.hot
	for slot, hash := range h.hashes {
		if hash == 0 {
			continue
		}
		e := &h.entries[slot]
		if fresh := h.noteSlot(slot); fresh > 0 {
			e.left = l.store.NoteUses(hash, e.key[:e.keyBytes], fresh+e.left)
			l.noteUse(hash)
		}
	}
}

// noteSlot counts the hits of a slot since it did so last.
func (h *hotKeys) noteSlot(slot int) (fresh uint64) {
	now := h.table.Hits(slot)
	fresh = now - h.entries[slot].seen
	h.entries[slot].seen = now
	h.counts[board.CountKernelHits] += fresh
	return fresh
}

// consider publishes a candidate, or keeps it.
func (l *Loop) consider(c *shard.Hot) {
	h := &l.hot
	if slot, ok := h.find(c.Hash); ok {
		h.entries[slot].wanted = c.Count >= hotFromCount/2
		return
	}
	if c.Count < hotFromCount || !l.holds(c.Hash) || !l.store.Show(c.Hash, c.Key, l.nowNanos, &h.item) {
		return
	}
	slot, ok := h.table.Publish(&h.item)
	if !ok {
		return
	}
	e := &h.entries[slot]
	e.since = h.table.Hits(slot)
	e.seen, e.left, e.wanted = e.since, 0, true
	e.keyBytes = uint8(copy(e.key[:], c.Key))
	h.hashes[slot] = c.Hash
	h.marks[mark(c.Hash)]++
	h.size++
	h.counts[board.CountKernelPublished]++
}

// holds says whether GETs of a key are this loop's to answer: what misplacedRead
// asks, without its counters.
func (l *Loop) holds(hash uint64) bool {
	return wire.ShardOf(hash, l.cfg.Shards) == l.cfg.Shard &&
		(l.ring == nil || l.ring.Owns(l.cfg.NodeID, hash) || l.ring.Holds(l.cfg.NodeID, hash) && !l.neighbor.lacks(hash))
}

// noteUse is noteUses for one key that was answered elsewhere.
func (l *Loop) noteUse(hash uint64) {
	if n := &l.neighbor; l.cfg.Log.queue.Followed() && len(n.uses) < cap(n.uses) {
		n.uses = board.AppendReference(n.uses, hash)
	}
}

func mark(hash uint64) uint8 { return uint8(hash >> 24) }

// find returns the slot of a published key.
func (h *hotKeys) find(hash uint64) (slot int, ok bool) {
	if h.marks[mark(hash)] == 0 {
		return 0, false
	}
	for slot, published := range h.hashes {
		if published == hash && hash != 0 {
			return slot, true
		}
	}
	return 0, false
}

// changed withdraws a key whose item was changed or dropped. It is called for each
// such, and for nearly all of them returns at once.
func (h *hotKeys) changed(hash uint64) {
	if h == nil || h.marks[mark(hash)] == 0 {
		return
	}
	if slot, ok := h.find(hash); ok {
		h.withdraw(slot)
	}
}

// changedIn withdraws all keys of a set.
func (h *hotKeys) changedIn(in shard.HashSet) {
	if h.size == 0 {
		return
	}
	for slot, hash := range h.hashes {
		if hash != 0 && in.Holds(hash) {
			h.withdraw(slot)
		}
	}
}

// withdrawLacking withdraws what this node follows and does not have whole any more.
func (l *Loop) withdrawLacking() {
	h := &l.hot
	if h.size == 0 || len(l.neighbor.lists.Lacking) == 0 {
		return
	}
	for slot, hash := range h.hashes {
		if hash != 0 && !l.holds(hash) {
			h.withdraw(slot)
		}
	}
}

func (h *hotKeys) withdraw(slot int) {
	h.table.Withdraw(slot)
	h.noteSlot(slot)
	h.marks[mark(h.hashes[slot])]--
	h.hashes[slot] = 0
	h.size--
	h.counts[board.CountKernelWithdrawn]++
}

func (h *hotKeys) withdrawAll() { h.changedIn(nil) }

// stop withdraws everything and lets go of the table.
func (h *hotKeys) stop() {
	h.withdrawAll()
	h.table = nil
}

// drop also forgets a table that was given and not taken yet: the memory behind it
// may go.
func (h *hotKeys) drop() {
	h.next.Store(nil)
	h.stop()
}

// end stops for good: the loop is about to end.
func (h *hotKeys) end() {
	h.stop()
	h.ended = true
}

// hotLine is a heavy hitter as the board shows it.
func (l *Loop) hotLine(c *shard.Hot) board.Hot {
	line := board.Hot{Hash: c.Hash, Count: c.Rate(), Key: c.Key}
	if slot, ok := l.hot.find(c.Hash); ok {
		e := &l.hot.entries[slot]
		line.InKernel, line.KernelHits = true, e.seen-e.since
	}
	line.GrantMillis, line.Grants = l.grants.shown(c.Hash)
	return line
}
