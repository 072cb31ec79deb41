package shard

// ways is how many places of a small table a key hash may take.
const ways = 4

// leases remembers who may fill a missing key, or refresh a stale one. DELETE
// and every newer write cancel the lease, so that a value read before them is
// refused: the stale-set race. A full table forgets the lease that ends first;
// its holder is refused then, which is safe.
type leases struct {
	rows []lease // sets of ways
	// used has a bit for each set in which there may be a lease: it fits into the
	// nearest cache, and most writes meet none.
	used []uint64
	seed uint64
}

type lease struct {
	hash, token     uint64
	client, request uint64
	endNanos        int64
}

func setOf[T any](rows []T, hash uint64) []T {
	sets := uint64(len(rows) / ways)
	at := (mix(hash) >> 20 & (sets - 1)) * ways
	return rows[at : at+ways : at+ways]
}

// bit is that of a hash's set in used.
func (l *leases) bit(hash uint64) (word *uint64, bit uint64) {
	set := mix(hash) >> 20 & uint64(len(l.rows)/ways-1)
	return &l.used[set/64], 1 << (set % 64)
}

// may says whether there may be a lease on the key.
func (l *leases) may(hash uint64) bool {
	word, bit := l.bit(hash)
	return *word&bit != 0
}

// tidy clears the bit of a set in which there is no lease any more.
func (l *leases) tidy(hash uint64, set []lease) {
	for i := range set {
		if set[i].token != 0 {
			return
		}
	}
	word, bit := l.bit(hash)
	*word &^= bit
}

// take gives a lease on the key of g, or says how long another one still lasts.
// The same client and request get the same token again.
func (l *leases) take(g *Get, now, lasts int64) (token uint64, ok bool, leftNanos int64) {
	set := setOf(l.rows, g.Hash)
	oldest := &set[0]
	for i := range set {
		row := &set[i]
		if row.hash == g.Hash && row.token != 0 && now < row.endNanos {
			if g.Request != 0 && row.client == g.Client && row.request == g.Request {
				return row.token, true, 0
			}
			return 0, false, row.endNanos - now
		}
		if row.hash == g.Hash && row.token != 0 {
			oldest = row // lapsed: the next reader's now
			break
		}
		if row.endNanos < oldest.endNanos {
			oldest = row
		}
	}
	*oldest = lease{g.Hash, l.newToken(), g.Client, g.Request, now + lasts}
	word, bit := l.bit(g.Hash)
	*word |= bit
	return oldest.token, true, 0
}

func (l *leases) newToken() uint64 {
	l.seed += oddMultiplier
	return mix(l.seed) | 1
}

// redeem ends the lease a write came with; false when it is not valid any more.
// A lapsed lease still counts while nobody else took it: only a DELETE or a
// newer write makes the value wrong, and they cancel it.
func (l *leases) redeem(hash, token uint64) bool {
	set := setOf(l.rows, hash)
	for i := range set {
		if set[i].hash == hash && set[i].token == token && token != 0 {
			set[i] = lease{}
			l.tidy(hash, set)
			return true
		}
	}
	return false
}

// cancel ends any lease on the key.
func (l *leases) cancel(hash uint64) {
	if l.may(hash) {
		l.cancelIn(hash, setOf(l.rows, hash))
	}
}

func (l *leases) cancelIn(hash uint64, set []lease) {
	for i := range set {
		if set[i].hash == hash {
			set[i] = lease{}
		}
	}
	l.tidy(hash, set)
}

// tombs remembers deletes with their versions, so that an older value that
// arrives late by replication loses. Rows lapse by age. Where a set is too small for
// its deletes, the greatest version that was pushed out stands for them all, until the
// youngest of them would have lapsed: what is not newer loses, too, unless it is known
// to have been read from its leader after all of them were here.
type tombs struct {
	rows       []tomb
	floors     []tomb // by set: greatest version and latest time; hash is not used
	lost       uint64 // pushed out before their time
	sinceNanos int64  // every later delete is remembered, for as long as it should be
}

type tomb struct {
	hash, version uint64
	nanos         int64
}

func (t *tombs) put(hash, version uint64, now, lasts int64) {
	set := setOf(t.rows, hash)
	oldest := &set[0]
	for i := range set {
		if set[i].hash == hash && set[i].version != 0 {
			oldest = &set[i]
			break
		}
		if set[i].nanos < oldest.nanos {
			oldest = &set[i]
		}
	}
	if oldest.version != 0 && oldest.hash != hash && now-oldest.nanos < lasts {
		t.lost++
		t.sinceNanos = max(t.sinceNanos, oldest.nanos)
		floor := t.floor(hash)
		if now-floor.nanos >= lasts {
			floor.version = 0
		}
		floor.version, floor.nanos = max(floor.version, oldest.version), max(floor.nanos, oldest.nanos)
	}
	*oldest = tomb{hash, version, now}
}

// floor is that of a hash's set.
func (t *tombs) floor(hash uint64) *tomb {
	return &t.floors[mix(hash)>>20&uint64(len(t.floors)-1)]
}

// version returns that of the remembered delete, or of the greatest that was pushed
// out of its set, 0 for none. Those pushed out count only if one of them came at asOf
// or later.
func (t *tombs) version(hash uint64, now, lasts, asOf int64) (version uint64) {
	if floor := t.floor(hash); floor.version != 0 && now-floor.nanos < lasts && floor.nanos >= asOf {
		version = floor.version
	}
	set := setOf(t.rows, hash)
	for i := range set {
		if set[i].hash == hash && now-set[i].nanos < lasts {
			return max(version, set[i].version)
		}
	}
	return version
}

// window remembers the answers to operations that must not happen twice, by
// (client, request).
type window struct {
	rows  []answered
	clock uint64
}

type answered struct {
	client, request, hash uint64
	version               uint64
	number                int64
	clock                 uint64
	op                    Op
	status                Status
}

// set is where the answer to a request is remembered.
func (w *window) set(client, request uint64) []answered {
	return setOf(w.rows, client^request*oddMultiplier)
}

func (w *window) find(wr *Write) *answered {
	set := w.set(wr.Client, wr.Request)
	for i := range set {
		r := &set[i]
		if r.clock != 0 && r.client == wr.Client && r.request == wr.Request && r.hash == wr.Hash && r.op == wr.Op {
			return r
		}
	}
	return nil
}

func (w *window) put(wr *Write) {
	set := w.set(wr.Client, wr.Request)
	oldest := &set[0]
	for i := range set {
		if set[i].clock < oldest.clock {
			oldest = &set[i]
		}
	}
	w.clock++
	*oldest = answered{wr.Client, wr.Request, wr.Hash, wr.Version, wr.Number, w.clock, wr.Op, wr.Status}
}

// recent remembers the answers to writes that may be repeated: in lines of the cache,
// each of which holds two, so that most of them cost one miss. Of client and request it
// keeps a hash of 64 bits: that another pair has the same, in the same line and for the
// same key, will not happen.
type recent struct {
	lines []recentLine // a power of two
	clock uint64
}

const recentWays = 2

type recentLine [recentWays]recentRow

type recentRow struct {
	who, what, version uint64
	answer             uint64 // clock<<8 | status; 0 = the row is free
}

// seek returns the line in which the answer to a request is remembered, and by what.
func (r *recent) seek(client, request uint64) (line *recentLine, who uint64) {
	at := mix(client^request*oddMultiplier) >> 20 & uint64(len(r.lines)-1)
	who = (client ^ client>>32) * 0xC2B2AE3D27D4EB4F
	who = mix(who + request)
	return &r.lines[at], who
}

// what tells a write's key and operation.
func (w *Write) what() uint64 { return w.Hash ^ uint64(w.Op)<<61 }

func (l *recentLine) find(who, what uint64) *recentRow {
	for i := range l {
		if row := &l[i]; row.who == who && row.what == what && row.answer != 0 {
			return row
		}
	}
	return nil
}

// put remembers the answer to w in place of the older one.
func (r *recent) put(line *recentLine, who uint64, w *Write) {
	row := &line[0]
	if line[1].answer < row.answer {
		row = &line[1]
	}
	r.clock++
	row.who, row.what, row.version, row.answer = who, w.what(), w.Version, r.clock<<8|uint64(w.Status)
}
