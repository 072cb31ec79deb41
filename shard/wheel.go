package shard

// wheel finds items whose TTL has passed without looking at the others. Three
// levels of lists, of 1 s, 256 s and 65,536 s, hold handles in blocks: 4 bytes
// and a little for each item with a TTL. Entries are never taken out early: one
// whose slot holds something else by now, or an item that expires at another
// time, is stale and is dropped when met. When more than half may be stale
// (keys with TTLs that are overwritten all the time) the lists are compacted.
type wheel struct {
	lists   []*timerBlock // wheelLists
	free    *timerBlock
	now     uint32 // seconds up to and including this one are done
	items   int64  // items with a TTL, in adopted slabs
	entries int64
	lost    uint64 // entries for which there was no memory: these expire lazily

	// The list being worked on: expired, or spread over the level below.
	due      *timerBlock
	dueLevel int
	dueSpan  uint32 // expiry >> shift of the entries that belong to it
	step     int

	compact compaction
}

type timerBlock struct {
	next    *timerBlock
	count   uint32
	handles [timerBlockHandles]Handle
}

const (
	timerBlockHandles = 125 // 512 bytes
	timerBlockBytes   = 512

	level0, level1, level2 = 256, 256, 1024
	wheelLists             = level0 + level1 + level2
)

// compaction is a pass over the lists that drops stale and double entries.
type compaction struct {
	running bool
	list    int
	level   int
	span    uint32
	old     *timerBlock // detached entries of the list, still to be looked at
	clear   *timerBlock // survivors whose marks are still to be cleared
}

// expirySecond is the second at whose end an expiry has passed for sure.
func expirySecond(ticks uint32) uint32 { return (ticks + ticksPerSecond - 1) / ticksPerSecond }

// spanOf names the list an expiry belongs to at a level.
func spanOf(level int, second uint32) uint32 { return second >> (8 * level) }

// listFor returns the list for an expiry, as things stand.
func (w *wheel) listFor(second uint32) (level, list int) {
	switch {
	case second-w.now < level0:
		return 0, int(second % level0)
	case second>>8-w.now>>8 < level1:
		return 1, level0 + int(second>>8%level1)
	}
	return 2, level0 + level1 + int(second>>16%level2)
}

// schedule notes when an item expires.
func (s *Shard) schedule(h Handle, expires uint32) {
	if expires == never {
		return
	}
	_, list := s.wheel.listFor(max(expirySecond(expires), s.wheel.now+1))
	if !s.pushTimer(&s.wheel.lists[list], h) {
		s.wheel.lost++
	}
}

func (s *Shard) pushTimer(list **timerBlock, h Handle) bool {
	b := *list
	if b == nil || b.count == timerBlockHandles {
		fresh := s.newTimerBlock()
		if fresh == nil {
			return false
		}
		fresh.next = b
		*list, b = fresh, fresh
	}
	b.handles[b.count] = h
	b.count++
	s.wheel.entries++
	return true
}

func (s *Shard) newTimerBlock() *timerBlock {
	w := &s.wheel
	if w.free == nil {
		w.free = timerBlocks(s.wheelArena.take(s, arenaChunkBytes))
	}
	b := w.free
	if b != nil {
		w.free = b.next
		b.next, b.count = nil, 0
	}
	return b
}

// popTimer takes one entry off a chain of blocks.
func (s *Shard) popTimer(chain **timerBlock) Handle {
	b := *chain
	b.count--
	h := b.handles[b.count]
	s.wheel.entries--
	if b.count == 0 {
		*chain = b.next
		b.next, s.wheel.free = s.wheel.free, b
	}
	return h
}

// runWheel does at most budget steps: one for each entry, and for each second.
func (s *Shard) runWheel(budget int) (work int) {
	w := &s.wheel
	for work < budget {
		if w.due != nil {
			s.due(s.popTimer(&w.due))
		} else if w.now < s.sec || w.step != 0 {
			s.nextList()
		} else {
			break
		}
		work++
	}
	if work < budget {
		work += s.compactTimers(budget - work)
	}
	return work
}

// nextList takes the next list that is due: when a second begins that is a
// multiple of 65,536 or 256, the longer list is spread first.
func (s *Shard) nextList() {
	w := &s.wheel
	second := w.now + 1
	switch {
	case w.step == 0 && second%65536 == 0:
		w.step = 1
		w.take(2, level0+level1+int(second>>16%level2), second)
	case w.step <= 1 && second%256 == 0:
		w.step = 2
		w.take(1, level0+int(second>>8%level1), second)
	default:
		w.step = 0
		w.take(0, int(second%level0), second)
		w.now = second
	}
}

func (w *wheel) take(level, list int, second uint32) {
	w.due, w.lists[list] = w.lists[list], nil
	w.dueLevel, w.dueSpan = level, spanOf(level, second)
}

// due deals with one entry of a list whose time has come.
func (s *Shard) due(h Handle) {
	expires, ok := s.timed(h)
	if !ok {
		return
	}
	switch second := expirySecond(expires); {
	case s.tick >= expires:
		if !s.isPinned(h) {
			s.dropLive(h, DropWheel)
		} // a pinned one expires when it is asked for
	case s.wheel.dueLevel > 0 && spanOf(s.wheel.dueLevel, second) == s.wheel.dueSpan:
		s.mem.head(h).word &^= flagMark
		s.schedule(h, expires)
	}
}

// timed returns the expiry of the item in a slot, if there is one: the slot may
// be empty, or of another class by now.
func (s *Shard) timed(h Handle) (expires uint32, ok bool) {
	if !s.isSlot(h) {
		return 0, false
	}
	word := s.mem.head(h).word
	if keyLen(word) == 0 || word&flagTTL == 0 {
		return 0, false
	}
	expires = *s.mem.expires(h, word)
	return expires, expires != never
}

// isSlot reports whether a handle is the start of a slot that was ever used.
func (s *Shard) isSlot(h Handle) bool {
	sl := s.slabOf(h)
	if sl.class < 0 {
		return false
	}
	at := uint32(h&(1<<s.slabShift-1))<<3 - slabLeadBytes
	size := uint32(s.sizes[sl.class])
	return at%size == 0 && at/size < sl.bump
}

// compactTimers moves the compaction on.
func (s *Shard) compactTimers(budget int) (work int) {
	w, c := &s.wheel, &s.wheel.compact
	if !c.running {
		if w.entries < 2*w.items+4096 {
			return 0
		}
		*c = compaction{running: true, list: -1}
	}
	for ; work < budget && c.running; work++ {
		switch {
		case c.old != nil:
			s.compactEntry(s.popTimer(&c.old))
		case c.clear != nil:
			s.clearMarks(c.clear)
			c.clear = c.clear.next
		default:
			s.nextCompaction()
		}
	}
	return work
}

// nextCompaction detaches the next list.
func (s *Shard) nextCompaction() {
	w, c := &s.wheel, &s.wheel.compact
	c.list++
	if c.list >= wheelLists {
		c.running = false
		return
	}
	c.old, w.lists[c.list] = w.lists[c.list], nil
	c.level, c.span = w.spanNow(c.list)
}

// spanNow says which expiries the entries of a list have now.
func (w *wheel) spanNow(list int) (level int, span uint32) {
	size, offset := uint32(level0), uint32(list)
	switch {
	case list >= level0+level1:
		level, size, offset = 2, level2, uint32(list-level0-level1)
	case list >= level0:
		level, size, offset = 1, level1, uint32(list-level0)
	}
	next := spanOf(level, w.now) + 1
	return level, next + (offset-next)%size
}

// compactEntry keeps an entry whose item expires in the list's span, once. The
// span may have come due since the list was detached.
func (s *Shard) compactEntry(h Handle) {
	w, c := &s.wheel, &s.wheel.compact
	expires, ok := s.timed(h)
	second := expirySecond(expires)
	switch head := s.mem.head(h); {
	case !ok || spanOf(c.level, second) != c.span || head.word&flagMark != 0:
	case s.tick >= expires:
		if !s.isPinned(h) {
			s.dropLive(h, DropWheel)
		}
	default:
		_, list := w.listFor(max(second, w.now+1))
		if s.pushTimer(&w.lists[list], h) && list == c.list {
			head.word |= flagMark
		}
	}
	if c.old == nil {
		c.clear = w.lists[c.list]
	}
}

func (s *Shard) clearMarks(b *timerBlock) {
	for _, h := range b.handles[:b.count] {
		if _, ok := s.timed(h); ok {
			s.mem.head(h).word &^= flagMark
		}
	}
}
