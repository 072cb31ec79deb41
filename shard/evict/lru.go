package evict

// lru is exact least-recently-used: one doubly linked list through the items'
// slots, newest at head.
type lru struct {
	meta       Meta
	head, tail uint32
	count      int
}

func newLRU(meta Meta) *lru { return &lru{meta: meta} }

func (l *lru) Name() string     { return "lru" }
func (l *lru) NeedsLinks() bool { return true }
func (l *lru) Len() int         { return l.count }

// Bytes is zero: the links are the items' own.
func (l *lru) Bytes() int64 { return 0 }

func (l *lru) Insert(h uint32, _ uint64) {
	l.pushHead(h)
	l.count++
}

func (l *lru) Adopt(h uint32) { l.Insert(h, 0) }

func (l *lru) Restore(h uint32) { l.Insert(h, 0) }

func (l *lru) Hit(h uint32) {
	if h == l.head {
		return
	}
	l.unlink(h)
	l.pushHead(h)
}

// Rewrite is a hit.
func (l *lru) Rewrite(h uint32) bool {
	l.Hit(h)
	return true
}

// HitBits: an item's place is all that this policy knows of it.
func (l *lru) HitBits() (next [8]uint8) {
	for bits := range next {
		next[bits] = AskPolicy
	}
	return next
}

func (l *lru) Remove(h uint32) {
	l.unlink(h)
	l.count--
}

func (l *lru) Victim() (uint32, bool) {
	h := l.tail
	if h == None {
		return None, false
	}
	l.Remove(h)
	return h, true
}

func (l *lru) Close() { *l = lru{meta: l.meta} }

func (l *lru) pushHead(h uint32) {
	k := l.meta.Links(h)
	k.Prev, k.Next = None, l.head
	if l.head != None {
		l.meta.Links(l.head).Prev = h
	} else {
		l.tail = h
	}
	l.head = h
}

func (l *lru) unlink(h uint32) {
	k := l.meta.Links(h)
	if k.Prev != None {
		l.meta.Links(k.Prev).Next = k.Next
	} else {
		l.head = k.Next
	}
	if k.Next != None {
		l.meta.Links(k.Next).Prev = k.Prev
	} else {
		l.tail = k.Prev
	}
}
