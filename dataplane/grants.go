package dataplane

import (
	"math/bits"

	"gannet/ring"
	"gannet/shard"
	"gannet/wire"
)

const (
	grantRows     = 64
	grantInterval = int64(100e6)
	// grantFromCount is how many sampled GETs make a key worth a grant, and
	// grantFromShare its share of all, as one in so many.
	grantFromCount = 8
	grantFromShare = 512
	// leastGrantMillis is for a share of one in grantFromShare. Each doubling of the
	// share adds grantStepMillis, up to mostGrantMillis.
	leastGrantMillis = 1000
	grantStepMillis  = 800
	mostGrantMillis  = 5000
	// grantWritesSecond is how often a key may be written and still be granted: each
	// write makes every copy a message and a GET.
	grantWritesSecond = 5
	// holdNanos is how much longer a key is granted than it stands out: once clients
	// keep copies, few of the GETs for it get here.
	holdNanos = int64(10e9)
	// cachedNanos is how long after a grant a copy may be kept: the longest grant, and
	// a second for its reply to arrive.
	cachedNanos = int64(mostGrantMillis+1000) * 1e6
)

// grants are the permissions to keep a copy of a hot key's item outside the node,
// for some milliseconds. Only the leader gives them: what a follower has may be old.
// The loop asks for each hit, and for nearly all of them hears no at once.
//
// A key stays in the table for as long as somebody may hold a copy, so that wrote never
// errs on the wrong side.
type grants struct {
	marks     [256]uint8 // keys in the table, by eight bits of their hash
	hashes    [grantRows]uint64
	rows      [grantRows]grantRow
	size      int
	nowNanos  int64 // of the turn
	passNanos int64
	ring      *ring.Ring // under which they were given
	// unsureNanos is until when copies may be about that this table knows nothing of:
	// granted by a predecessor, or by the key's leader before.
	unsureNanos int64
	candidates  []shard.Hot
}

type grantRow struct {
	millis     uint16 // 0 = no grant now
	given      uint64 // grants in replies, since the key is in the table
	untilNanos int64  // until when copies may be about
	wanted     bool   // by the pass
	hotNanos   int64  // when a pass wanted it last
	// level is a leaky bucket of writes, in thousandths: it loses grantWritesSecond a
	// second, and above that many the key is written too often.
	level      int64
	levelNanos int64
}

func (t *grants) init(log *Log) {
	t.candidates = make([]shard.Hot, 0, grantRows*2)
	if log != nil {
		log.grants = t
	}
}

// attendGrants is called at the beginning of a turn, once the ring is adopted.
func (l *Loop) attendGrants() {
	t := &l.grants
	t.nowNanos = l.nowNanos
	if t.ring != l.ring || t.passNanos == 0 {
		// Others may have granted keys that are this node's now.
		t.ring, t.unsureNanos = l.ring, l.nowNanos+cachedNanos
		l.passGrants()
	}
	if l.nowNanos-t.passNanos >= grantInterval {
		l.passGrants()
	}
}

// passGrants decides which keys are granted until the next pass, and for how long.
func (l *Loop) passGrants() {
	t := &l.grants
	t.passNanos = l.nowNanos
	for i := range t.rows {
		t.rows[i].wanted = false
	}
	// Without a ring nobody hears of invalidations; past the fence somebody else may
	// take the key's writes.
	if l.ring != nil && l.writable {
		t.candidates = l.store.Heavy(t.candidates[:0])
		for i := range t.candidates {
			l.considerGrant(&t.candidates[i])
		}
	}
	for i, hash := range t.hashes {
		if row := &t.rows[i]; hash != 0 && !row.wanted {
			if l.ring == nil || !l.writable || !l.ring.Owns(l.cfg.NodeID, hash) || l.nowNanos-row.hotNanos >= holdNanos {
				row.millis = 0
			}
			if row.millis == 0 && l.nowNanos >= row.untilNanos {
				t.remove(i)
			}
		}
	}
}

func (l *Loop) considerGrant(c *shard.Hot) {
	t := &l.grants
	millis := grantMillis(c)
	if millis == 0 || wire.ShardOf(c.Hash, l.cfg.Shards) != l.cfg.Shard || !l.ring.Owns(l.cfg.NodeID, c.Hash) {
		return
	}
	i, ok := t.find(c.Hash)
	if !ok {
		if i, ok = t.insert(c.Hash); !ok {
			return
		}
	}
	row := &t.rows[i]
	row.wanted, row.hotNanos = true, l.nowNanos
	row.millis = millis
	if row.drain(l.nowNanos); row.level > grantWritesSecond*1000 {
		row.millis = 0
	}
}

// grantMillis is how long copies of a key may be kept: the hotter, the longer.
func grantMillis(c *shard.Hot) uint16 {
	if c.Count < grantFromCount || c.Share*grantFromShare < 1 || c.Hash == 0 {
		return 0
	}
	doublings := bits.Len64(uint64(c.Share*grantFromShare)) - 1
	return uint16(min(leastGrantMillis+doublings*grantStepMillis, mostGrantMillis))
}

// hint puts the grant of a key, if it has one, into the answer to a hit.
func (t *grants) hint(op *wire.ReplyOp, hash uint64) {
	if t.marks[mark(hash)] != 0 {
		t.give(op, hash)
	}
}

func (t *grants) give(op *wire.ReplyOp, hash uint64) {
	i, ok := t.find(hash)
	if !ok || t.rows[i].millis == 0 {
		return
	}
	row := &t.rows[i]
	row.given++
	row.untilNanos = t.nowNanos + cachedNanos
	op.Flags |= wire.ReplyL1Grant
	op.L1GrantMillis = row.millis
}

// wrote takes note of a write. It says whether copies of the item may be about.
func (t *grants) wrote(hash uint64) (mayBeCached bool) {
	if t == nil {
		return true
	}
	i, ok := t.find(hash)
	if !ok {
		return t.nowNanos < t.unsureNanos
	}
	row := &t.rows[i]
	row.drain(t.nowNanos)
	if row.level += 1000; row.level > grantWritesSecond*1000 {
		row.millis = 0
	}
	return t.nowNanos < max(row.untilNanos, t.unsureNanos)
}

// drain lets the bucket leak up to now.
func (r *grantRow) drain(nowNanos int64) {
	leaked := (nowNanos - r.levelNanos) * grantWritesSecond / 1e6
	r.level, r.levelNanos = max(0, r.level-leaked), nowNanos
}

func (t *grants) find(hash uint64) (row int, ok bool) {
	if hash == 0 || t.marks[mark(hash)] == 0 {
		return 0, false
	}
	for i, h := range t.hashes {
		if h == hash {
			return i, true
		}
	}
	return 0, false
}

// insert takes a free row. False when all have copies about.
func (t *grants) insert(hash uint64) (row int, ok bool) {
	if t.size == grantRows {
		return 0, false
	}
	for i, h := range t.hashes {
		if h == 0 {
			t.hashes[i], t.rows[i] = hash, grantRow{}
			t.marks[mark(hash)]++
			t.size++
			return i, true
		}
	}
	return 0, false
}

func (t *grants) remove(i int) {
	t.marks[mark(t.hashes[i])]--
	t.hashes[i] = 0
	t.size--
}
