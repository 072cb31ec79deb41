package dataplane

import (
	"gannet/ring"
	"gannet/wire"
)

const (
	// grantSets is a power of two: with grantWays, 2,048 keys may be granted at once.
	grantSets = 256
	grantWays = 8
	// grantSweepSets of them are tidied up every grantSweepNanos.
	grantSweepSets  = 8
	grantSweepNanos = int64(125e6)
	// A grant is as long as the item is old, within these: what was not written for so
	// long will hardly be written while copies of it are about.
	leastGrantMillis = 1000
	mostGrantMillis  = 5000
	// grantWritesSecond is how often a key may be written and still be granted: each
	// write makes every copy a message and a GET.
	grantWritesSecond = 5
	// cachedNanos is how long after a grant a copy may be kept: the longest grant, and
	// a second for its reply to arrive.
	cachedNanos = int64(mostGrantMillis+1000) * 1e6
)

// grants are the permissions to keep a copy of a hot key's item outside the node,
// for some milliseconds. Only the leader gives them: what a follower has may be old.
// The loop asks for each hit.
//
// A key gets into the table when it is asked for often (see heat), and stays there for
// as long as somebody may hold a copy, so that wrote never errs on the wrong side: a
// key that finds no room among the eight of its set is not granted. GETs that still get
// here while copies are about keep it there.
type grants struct {
	heat       heat
	open       bool              // keys may be granted in this turn
	marks      [grantSets]uint64 // a byte for each row of the set, of its key's hash; 0: free
	hashes     [grantSets][grantWays]uint64
	rows       [grantSets][grantWays]grantRow
	nowNanos   int64 // of the turn
	sweepNanos int64
	set        int        // to be tidied up next
	ring       *ring.Ring // under which they were given
	loop       *Loop
	// unsureNanos is until when copies may be about that this table knows nothing of:
	// granted by a predecessor, or by the key's leader before.
	unsureNanos int64
}

type grantRow struct {
	millis     uint16 // of the last grant
	given      uint64 // grants in replies, since the key is in the table
	untilNanos int64  // until when copies may be about
	keepNanos  int64  // until when the row stays besides: the key is written too often
	// level is a leaky bucket of writes, in thousandths: it loses grantWritesSecond a
	// second, and above that many the key is written too often.
	level      int64
	levelNanos int64
}

func (t *grants) init(l *Loop, log *Log) {
	t.loop = l
	t.heat.init()
	if log != nil {
		log.grants = t
	}
}

// attendGrants is called at the beginning of a turn, once the ring is adopted.
func (l *Loop) attendGrants() {
	t := &l.grants
	t.nowNanos = l.nowNanos
	// Without a ring nobody hears of invalidations; past the fence somebody else may
	// take the key's writes.
	t.open = l.ring != nil && l.writable
	if t.ring != l.ring || t.sweepNanos == 0 {
		// Others may have granted keys that are this node's now, and keys that were this
		// node's are others' to grant. All that is in the table is among the unsure.
		t.ring, t.unsureNanos = l.ring, l.nowNanos+cachedNanos
		t.marks, t.hashes = [grantSets]uint64{}, [grantSets][grantWays]uint64{}
	}
	if passed := l.nowNanos - t.sweepNanos; passed >= grantSweepNanos {
		t.sweepNanos = l.nowNanos
		t.heat.fade(int(min(passed/grantSweepNanos, mostFades)))
		t.sweep()
	}
}

// sweep takes keys out of some sets of which no copies can be about.
func (t *grants) sweep() {
	for range grantSweepSets {
		set := t.set
		t.set = (set + 1) % grantSets
		for way, hash := range t.hashes[set] {
			if hash != 0 && !t.rows[set][way].lives(t.nowNanos) {
				t.remove(set, way)
			}
		}
	}
}

// hint is called for each hit: it counts the use, and says for how long copies of the
// item may be kept; 0: there is no grant.
func (t *grants) hint(hash uint64, ageSeconds uint32) (millis uint16) {
	if t.heat.due() || t.marked(hash) {
		return t.consider(hash, ageSeconds)
	}
	return 0
}

func (t *grants) consider(hash uint64, ageSeconds uint32) (millis uint16) {
	hot := t.heat.count(hash)
	if !t.open {
		return 0
	}
	row := t.find(hash)
	if row == nil || !row.lives(t.nowNanos) {
		if !hot || !t.mayGrant(hash) {
			return 0
		}
		if row = t.insert(hash, row); row == nil {
			return 0
		}
	}
	if row.drain(t.nowNanos); row.level > grantWritesSecond*1000 {
		return 0
	}
	row.given++
	row.millis = grantMillis(ageSeconds)
	row.untilNanos = t.nowNanos + cachedNanos
	return row.millis
}

// mayGrant says whether the key's copies are this shard's to grant, as they stay until
// the ring changes.
func (t *grants) mayGrant(hash uint64) bool {
	cfg := &t.loop.cfg
	return hash != 0 && wire.ShardOf(hash, cfg.Shards) == cfg.Shard && t.ring.Owns(cfg.NodeID, hash)
}

// grantMillis is how long copies of an item may be kept.
func grantMillis(ageSeconds uint32) uint16 {
	return uint16(max(leastGrantMillis, 1000*min(ageSeconds, mostGrantMillis/1000)))
}

// wrote takes note of a write. It says whether copies of the item may be about.
func (t *grants) wrote(hash uint64) (mayBeCached bool) {
	if t == nil {
		return true
	}
	row := t.find(hash)
	if row == nil {
		return t.nowNanos < t.unsureNanos
	}
	row.drain(t.nowNanos)
	if row.level += 1000; row.level > grantWritesSecond*1000 {
		row.keepNanos = t.nowNanos + cachedNanos // to remember that it is written too often
	}
	return t.nowNanos < max(row.untilNanos, t.unsureNanos)
}

// shown is what is to be told of a key's grants: 0 when it has none now.
func (t *grants) shown(hash uint64) (millis uint16, given uint64) {
	row := t.find(hash)
	if row == nil || t.nowNanos >= row.untilNanos {
		return 0, 0
	}
	if row.drain(t.nowNanos); row.level <= grantWritesSecond*1000 {
		millis = row.millis
	}
	return millis, row.given
}

// lives says whether the row's key must stay.
func (r *grantRow) lives(nowNanos int64) bool { return nowNanos < max(r.untilNanos, r.keepNanos) }

// drain lets the bucket leak up to now.
func (r *grantRow) drain(nowNanos int64) {
	leaked := (nowNanos - r.levelNanos) * grantWritesSecond / 1e6
	r.level, r.levelNanos = max(0, r.level-leaked), nowNanos
}

// eachByte times a byte is a word of eight of them.
const eachByte = 0x0101010101010101

func grantSet(hash uint64) int { return int(hash % grantSets) }

// grantMark is never 0.
func grantMark(hash uint64) uint8 { return uint8(hash>>8) | 0x80 }

// marked says whether a key may be in the table: false is certain.
func (t *grants) marked(hash uint64) bool {
	w := t.marks[hash%grantSets] ^ uint64(grantMark(hash))*eachByte
	return (w-eachByte)&^w&(0x80*eachByte) != 0 // one of its bytes is 0
}

func (t *grants) find(hash uint64) *grantRow {
	if hash == 0 || !t.marked(hash) {
		return nil
	}
	set := grantSet(hash)
	for way, h := range &t.hashes[set] {
		if h == hash {
			return &t.rows[set][way]
		}
	}
	return nil
}

// insert takes a row of which no copies can be about, the key's own if it has one;
// nil when there is none.
func (t *grants) insert(hash uint64, own *grantRow) *grantRow {
	set := grantSet(hash)
	for way, h := range &t.hashes[set] {
		row := &t.rows[set][way]
		if row == own || own == nil && (h == 0 || !row.lives(t.nowNanos)) {
			t.remove(set, way)
			t.hashes[set][way] = hash
			t.marks[set] |= uint64(grantMark(hash)) << (8 * way)
			*row = grantRow{levelNanos: t.nowNanos}
			return row
		}
	}
	return nil
}

func (t *grants) remove(set, way int) {
	t.marks[set] &^= 0xFF << (8 * way)
	t.hashes[set][way] = 0
}
