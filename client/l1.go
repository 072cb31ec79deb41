package client

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"gannet/wire"
)

const (
	// l1FromUses is how many uses in the last moments make a key worth a copy: no more
	// than shows that it is asked for again, as the node finds out what is hot.
	l1FromUses = 2
	// l1OverheadBytes is what a copy takes beside key and value.
	l1OverheadBytes = 256
	// l1LargestShare bounds a copy, as one in so many of the whole memory.
	l1LargestShare = 8
	l1Locks        = 64 // a power of two
)

// l1 keeps copies of hot items for moments.
//
// # Life of a copy
//
// A Get of a key that the sketch counts among the hot ones begins a fill before it is
// sent: the fill notes the key's leader, and its term, the number of flushes there
// have been of it. The answer carries a grant, or nothing is kept. An invalidation
// that arrives while the fill is under way raises the fill's floor; what is older is
// not kept. The copy then serves Gets, until the grant is over, an invalidation or a
// write of this client's removes it, the leader's term or the ring's epoch is another,
// or the memory is needed for a hotter one.
//
// # Who may touch what
//
// A key's lock is held over "is a fill under way, and how old is the copy" and what
// follows from it. Gets that hit take no lock of ours.
type l1 struct {
	seed    maphash.Seed // the client's
	bytes   int
	longest time.Duration
	problem atomic.Pointer[error] // why a stream of invalidations broke last
	copies  *otter.Cache[string, *copied]
	origins origins
	locks   [l1Locks]l1Lock
}

// l1Lock guards the fills of a part of the keys, and changes of their copies.
type l1Lock struct {
	mu    sync.Mutex
	fills map[uint64]filling // guarded by mu; by the seeded hash of the key
}

// filling is what is known of a key that somebody is about to keep.
type filling struct {
	calls int     // under way
	floor Version // older ones are not to be kept
}

// copied is one copy. It does not change.
type copied struct {
	item       Item // Value is the copy's own
	askedNanos int64
	untilNanos int64
	epoch      uint32
	origin     *origin
	term       uint64
}

// fill is the intention to keep the answer of one Get. The zero fill is none.
type fill struct {
	hash       uint64 // of the key, seeded
	askedNanos int64
	routes     *routes
	leader     *node
	origin     *origin
	term       uint64
}

func newL1(s *settings, seed maphash.Seed) (*l1, error) {
	l := &l1{seed: seed, bytes: s.l1Bytes, longest: s.l1Longest}
	for i := range l.locks {
		l.locks[i].fills = make(map[uint64]filling)
	}
	var err error
	l.copies, err = otter.New(&otter.Options[string, *copied]{
		MaximumWeight: uint64(s.l1Bytes),
		Weigher:       func(key string, c *copied) uint32 { return uint32(copyBytes(key, c.item.Value)) },
		// Its upkeep is short, and done by who uses it: no goroutine to end.
		Executor: func(do func()) { do() },
		Logger:   &otter.NoopLogger{},
	})
	return l, err
}

func copyBytes(key string, value []byte) int { return len(key) + len(value) + l1OverheadBytes }

func (l *l1) lock(hash uint64) *l1Lock { return &l.locks[hash%l1Locks] }

// get returns the copy of an item, its value in dst.
func (l *l1) get(key string, dst []byte, atLeast Version, epoch uint32, nowNanos int64) (Item, bool) {
	c, ok := l.copies.GetIfPresent(key)
	if !ok || nowNanos >= c.untilNanos || c.epoch != epoch || c.item.Version < atLeast || c.origin.term.Load() != c.term {
		return Item{}, false
	}
	item := c.item
	item.Value = append(dst[:0], c.item.Value...)
	passed := time.Duration(nowNanos - c.askedNanos).Truncate(time.Second)
	item.Age += passed
	if item.TTL != NoTTL {
		item.TTL -= passed
	}
	return item, true
}

// begin prepares to keep the answer to a Get that is about to be sent. It returns the
// zero fill when nothing may be kept.
func (l *l1) begin(hash uint64, routes *routes, keyHash uint64, nowNanos int64) fill {
	if routes == nil || routes.ring == nil {
		return fill{}
	}
	leader := routes.ring.Owner(keyHash)
	if leader == nil {
		return fill{}
	}
	from := l.origins.find(leader.ID)
	if from == nil {
		return fill{}
	}
	f := fill{
		hash: hash, askedNanos: nowNanos,
		routes: routes, leader: routes.nodes[leader.ID], origin: from, term: from.term.Load(),
	}
	if !isCovered(f.term) {
		return fill{}
	}
	k := l.lock(f.hash)
	k.mu.Lock()
	now := k.fills[f.hash]
	now.calls++
	k.fills[f.hash] = now
	k.mu.Unlock()
	return f
}

// end ends a fill, and keeps its answer if that may be kept.
func (l *l1) end(f *fill, key string, op *operation, from *node) {
	c := l.copyOf(f, key, op, from)
	k := l.lock(f.hash)
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.fills[f.hash]
	if c != nil && c.item.Version >= now.floor && f.origin.term.Load() == f.term {
		if before, ok := l.copies.GetIfPresent(key); !ok || before.item.Version <= c.item.Version {
			l.copies.Set(strings.Clone(key), c)
		}
	}
	if now.calls--; now.calls > 0 {
		k.fills[f.hash] = now
		return
	}
	delete(k.fills, f.hash)
}

// copyOf makes a copy of an answer; nil if it must not be kept.
func (l *l1) copyOf(f *fill, key string, op *operation, from *node) *copied {
	a := &op.answer
	if !op.done || op.failure != nil || a.Status != wire.StatusOK || a.Flags&wire.ReplyL1Grant == 0 ||
		a.Flags&wire.ReplyStale != 0 || from != f.leader || copyBytes(key, op.value) > l.bytes/l1LargestShare {
		return nil
	}
	item := op.item()
	lasts := min(time.Duration(a.L1GrantMillis)*time.Millisecond, l.longest)
	if item.TTL != NoTTL {
		lasts = min(lasts, item.TTL)
	}
	item.Value = append(make([]byte, 0, len(op.value)), op.value...)
	item.FromL1 = true
	return &copied{
		item: item, askedNanos: f.askedNanos, untilNanos: f.askedNanos + int64(lasts),
		epoch: f.routes.epoch(), origin: f.origin, term: f.term,
	}
}

// invalidate removes the copy of a key unless it is of the version or newer, and keeps
// older ones out that are under way.
func (l *l1) invalidate(key string, version Version) {
	hash := maphash.String(l.seed, key)
	k := l.lock(hash)
	k.mu.Lock()
	defer k.mu.Unlock()
	if now, ok := k.fills[hash]; ok && now.floor < version {
		now.floor = version
		k.fills[hash] = now
	}
	if c, ok := l.copies.GetIfPresent(key); ok && c.item.Version < version {
		l.copies.Invalidate(key)
	}
}

// drop removes the copy of a key that this client has tried to write: whether it did,
// and as which version, is not known. What is under way is not kept either.
func (l *l1) drop(key string) { l.invalidate(key, ^Version(0)) }

// L1Stats says what the client holds of its own.
type L1Stats struct {
	Copies int // approximately
	Bytes  uint64
	// Origins is the number of nodes whose items may be held: whose invalidations the
	// client hears. It grows to the number of the ring's members soon after the first
	// call, if their control ports can be reached.
	Origins int
	// Problem says why the client could not listen to a node the last time that it
	// could not; nil: it always could.
	Problem error
}

// L1 returns what the client's L1 holds; nothing without WithL1.
func (c *Client) L1() L1Stats {
	if c.l1 == nil {
		return L1Stats{}
	}
	s := L1Stats{Copies: c.l1.copies.EstimatedSize(), Bytes: c.l1.copies.WeightedSize(), Origins: c.l1.origins.covered()}
	if p := c.l1.problem.Load(); p != nil {
		s.Problem = *p
	}
	return s
}

// nearGet answers a Get from L1.
func (c *Client) nearGet(key string, dst []byte, atLeast Version) (Item, bool) {
	if c.l1 == nil {
		return Item{}, false
	}
	item, ok := c.l1.get(key, dst, atLeast, c.epoch(), c.nowNanos())
	if ok {
		c.counters.l1Hits.Add(1)
	}
	return item, ok
}

// beginFill begins a fill if the key is hot.
func (c *Client) beginFill(hash uint64, uses uint32, keyHash uint64) fill {
	if c.l1 == nil || uses < max(l1FromUses, 2*c.hot.noise()) {
		return fill{}
	}
	return c.l1.begin(hash, c.routes.Load(), keyHash, c.nowNanos())
}

// endFill keeps the answer of a fill, if it may be kept.
func (c *Client) endFill(f *fill, key string, op *operation, from *node) {
	if f.origin != nil {
		c.l1.end(f, key, op, from)
	}
}

// wroteKey removes what this client holds of a key that it has written, so that it
// reads its own writes.
func (c *Client) wroteKey(key string, code wire.Opcode, version Version, err error) {
	switch {
	case c.l1 == nil:
	case err == nil && version != 0 && code != wire.Touch: // which may keep the version
		c.l1.invalidate(key, version)
	default:
		c.l1.drop(key)
	}
}
