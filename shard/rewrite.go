package shard

// A PUT over an item whose slot fits the new value as well writes it there: no slot is
// taken and freed, no entry changes, and the policy has nothing to move.
//
// A crash in the middle of that must leave the old item or the new one. So the new one
// is noted first, whole, behind the superblock, and the handle beside it by one store;
// a successor that finds the handle does the copy again. The note is always in the
// nearest cache.
type rewriteNote struct {
	hash    uint64 // of the key, which stays
	last    uint64 // superblock.version: a later mutation makes the note void
	head    header
	expires uint32
	soft    uint32
	tail    [maxTailBytes]byte // sums and value
}

const (
	noteOffset = 512 // in the page of the superblock
	// maxRewriteBytes is the longest value that is written in place: of one unit, and
	// noted at little cost.
	maxRewriteBytes = UnitBytes
	maxTailBytes    = maxRewriteBytes + 8
)

// rewrite gives an item another value in its slot; false, with nothing done, when that
// cannot be, or there is no item.
func (s *Shard) rewrite(h Handle, n *newItem) bool {
	if h == 0 || n.spare || len(n.value) > maxRewriteBytes {
		return false
	}
	word := n.word()
	if !s.rewritable(h, word) {
		return false
	}
	was, expired := s.mem.head(h).word, n.expires
	if word&flagTTL != 0 {
		expired = *s.mem.expires(h, word)
	}
	note := s.takeNote(n, word|was&(policyBits|flagMark)|s.gen)
	s.index.step("rewrite-noted")
	storeHandle(&s.super.rewriting, h)
	s.perform(note, h)
	storeHandle(&s.super.rewriting, 0)
	s.index.step("rewritten")
	s.stats.ByDrop[DropReplaced]++
	s.stats.ValueBytes += int64(valueLen(word)) - int64(valueLen(was))
	if n.expires != expired && (expired == never || expirySecond(n.expires) != expirySecond(expired)) {
		s.schedule(h, n.expires) // otherwise the wheel's entry serves on
	}
	return true
}

// rewritable says whether an item can become another one with its key in its slot, and
// tells the policy. Nobody but the shard may be reading there: a pinned slot is not
// rewritten.
func (s *Shard) rewritable(h Handle, word uint64) bool {
	sl := s.slabOf(h)
	return s.mem.sameShape(s.mem.head(h).word, word) && s.classFor(s.mem.size(word)) == int(sl.class) &&
		!sl.leaving && sl.knows(h) && !s.isPinned(h) && s.classes[sl.class].policy.Rewrite(h)
}

// takeNote notes the new item, but for its key.
func (s *Shard) takeNote(n *newItem, word uint64) *rewriteNote {
	note := noteOf(s.super)
	note.hash, note.last = n.hash, s.super.version
	note.head = header{n.version, word}
	note.expires, note.soft = n.expires, n.soft
	tail := note.tail[:s.mem.tailBytes(word)]
	value := tail[len(tail)-len(n.value):]
	copy(value, n.value)
	fillUnits(tail, value)
	return note
}

// perform copies a note into the slot. Doing it again does no harm.
func (s *Shard) perform(note *rewriteNote, h Handle) {
	word := note.head.word
	s.index.step("rewrite-begun")
	copy(s.mem.tail(h, word), note.tail[:])
	s.index.step("rewrite-half")
	if word&flagTTL != 0 {
		*s.mem.expires(h, word) = note.expires
	}
	if word&flagSoft != 0 {
		*s.mem.soft(h, word) = note.soft
	}
	*s.mem.head(h) = note.head
}

// redoRewrite ends the rewrite that a predecessor was in, and says whether there was
// one. The note is believed only as far as it fits the slot.
func (s *Shard) redoRewrite() bool {
	h := s.super.rewriting
	if h == 0 {
		return false
	}
	note := noteOf(s.super)
	word := note.head.word
	fits := note.last == s.super.version && s.plausible(h) && valueLen(word) <= maxRewriteBytes &&
		keyLen(word) == keyLen(s.mem.head(h).word) && s.mem.sameShape(s.mem.head(h).word, word) &&
		s.mem.size(word) <= s.slotBytes(h) && s.hashAt(h) == note.hash
	if fits {
		s.perform(note, h)
	}
	s.super.rewriting = 0
	return fits
}

// sameShape says whether two items with the same key have all but the value's end at
// the same places.
func (l *layout) sameShape(a, b uint64) bool {
	return (a^b)&(flagTTL|flagSoft) == 0 && l.valueOffset(a) == l.valueOffset(b) && valueLen(a) < l.roomFrom && valueLen(b) < l.roomFrom
}

// tailBytes is how long sums and value are.
func (l *layout) tailBytes(word uint64) int { return sumBytes(valueLen(word)) + valueLen(word) }

// tail is where they lie, in an item without header room.
func (m *memory) tail(h Handle, word uint64) []byte {
	return m.bytes(h, m.keyOffset(word)+keyLen(word), m.tailBytes(word))
}

// storeHandle keeps its place among the stores around it.
//
//go:noinline
func storeHandle(p *Handle, h Handle) { *p = h }
