package shard

// ways is how many places of a small table a key hash may take.
const ways = 4

// leases remembers who may fill a missing key, or refresh a stale one. DELETE
// and every newer write cancel the lease, so that a value read before them is
// refused: the stale-set race. A full table forgets the lease that ends first;
// its holder is refused then, which is safe.
type leases struct {
	rows []lease // sets of ways
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
			return true
		}
	}
	return false
}

// cancel ends any lease on the key.
func (l *leases) cancel(hash uint64) {
	set := setOf(l.rows, hash)
	for i := range set {
		if set[i].hash == hash {
			set[i] = lease{}
		}
	}
}

// tombs remembers deletes with their versions, so that an older value that
// arrives late by replication loses. Rows lapse by age. Where a set is too small for
// its deletes, the greatest version that was pushed out stands for them all: what is
// not newer loses, too. A few items more are missed then, and none comes back.
type tombs struct {
	rows       []tomb
	floors     []tomb // by set; hash is not used
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
		floor := t.floor(hash)
		floor.version, floor.nanos = max(floor.version, oldest.version), now
	}
	*oldest = tomb{hash, version, now}
}

// floor is that of a hash's set.
func (t *tombs) floor(hash uint64) *tomb {
	return &t.floors[mix(hash)>>20&uint64(len(t.floors)-1)]
}

// version returns that of the remembered delete, or of the greatest that was pushed
// out of its set, 0 for none.
func (t *tombs) version(hash uint64, now, lasts int64) (version uint64) {
	if floor := t.floor(hash); floor.version != 0 && now-floor.nanos < lasts {
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
