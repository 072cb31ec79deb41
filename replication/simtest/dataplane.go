package simtest

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/spaolacci/murmur3"

	"gannet/replication"
	"gannet/replication/internal/plant"
	"gannet/ring"
)

const shards = 2

// key is one of the few keys of a run.
type key struct {
	name  int
	hash  uint64
	shard uint16
}

func newKey(i int) *key {
	h1, _ := murmur3.Sum128(binary.LittleEndian.AppendUint64([]byte("key"), uint64(i)))
	return &key{name: i, hash: h1, shard: uint16(h1 % shards)}
}

// item is what a data plane has of a key; the value is its version, which is unique.
type item struct{ version uint64 }

type tomb struct {
	version uint64
	at      int64 // local
}

// record is a mutation in a log.
type record struct {
	key     *key
	version uint64
	deleted bool
	at      int64 // local

	// Of the first record of a part: the stretch it covers, as indices of keys; at is
	// the true time of its reading.
	from, to int
	ranges   replication.RangeSet
}

// dataPlane is the model of one: its items, and its part of the board. The board
// survives it and the control process.
type dataPlane struct {
	m       *machine
	running bool
	since   int64 // local
	items   map[*key]item
	tombs   map[*key]tomb
	version [shards]uint64

	ring       *ring.Ring
	fence      int64
	held       replication.RangeSet
	degraded   replication.RangeSet
	lacking    replication.RangeSet
	sync       int64
	replicated [shards]uint64
	log        [shards][]record

	waiting []*waiting // for ack=replica

	// ever is the greatest version each key had since it was dropped last: nothing
	// older may come back.
	ever map[*key]uint64
}

type waiting struct {
	key     *key
	version uint64
	deleted bool
	reply   func(reply)
}

func newDataPlane(m *machine) *dataPlane {
	d := &dataPlane{m: m}
	d.wipe()
	return d
}

// wipe: the memory is gone, and the board with it.
func (d *dataPlane) wipe() {
	*d = dataPlane{m: d.m, items: map[*key]item{}, tombs: map[*key]tomb{}, ever: map[*key]uint64{}}
}

func (d *dataPlane) start() {
	d.running = true
	d.since = d.m.local()
	d.tombs = map[*key]tomb{}
	d.waiting = nil
}

func (d *dataPlane) publish(r *ring.Ring) {
	d.ring = r
	for s := range d.version {
		base := replication.Version(r.Epoch(), d.version[s]&(1<<40-1))
		if d.m.w.fault == plant.SequenceFromZero {
			base = replication.Version(1, d.version[s]&(1<<40-1))
		}
		d.version[s] = max(d.version[s], base)
	}
}

func (d *dataPlane) tombLife() int64 {
	if d.m.w.fault == plant.EarlyTombstones {
		return d.m.w.cfg.TombstoneNanos / 100
	}
	return d.m.w.cfg.TombstoneNanos
}

// has is the version of what is known about a key, item or delete.
func (d *dataPlane) has(k *key) uint64 {
	v := d.items[k].version
	if t, ok := d.tombs[k]; ok && d.m.local()-t.at < d.tombLife() {
		v = max(v, t.version)
	}
	return v
}

// apply takes a mutation from elsewhere. One of a part that came too late may bring back
// what was deleted, until the repair that does not count it is done again.
func (d *dataPlane) apply(r record, late bool) {
	if r.version <= d.has(r.key) {
		return
	}
	if r.version < d.ever[r.key] && !r.deleted && !late { // an older delete finds nothing, and leaves nothing
		d.m.w.check.fail("machine %d: %v goes back from %x to %x", d.m.id, r.key, d.ever[r.key], r.version)
	}
	d.version[r.key.shard] = max(d.version[r.key.shard], r.version)
	d.set(r.key, r.version, r.deleted)
}

// replace makes room for a part: what it does not say, and is not newer, goes.
func (d *dataPlane) replace(records []record, upto []uint64) {
	d.m.w.check.holes.tear(d.m, records[0].ranges)
	said := map[*key]uint64{}
	for _, r := range records[1:] {
		said[r.key] = r.version
	}
	for _, k := range d.m.w.keys[records[0].from:records[0].to] {
		if !records[0].ranges.Contains(k.hash) {
			continue
		}
		if d.ever[k] <= upto[k.shard] {
			delete(d.ever, k) // the leader decides
		}
		if v := d.has(k); v != 0 && v <= upto[k.shard] && v != said[k] {
			d.m.w.tell("  replaced away", []any{d.m.id, k})
			delete(d.items, k)
			delete(d.tombs, k)
		}
	}
}

func (d *dataPlane) set(k *key, version uint64, deleted bool) {
	if d.m.w.check.verbose != nil {
		d.m.w.tell("  set", fmt.Sprintf("m%d %v %x deleted %v", d.m.id, k, version, deleted))
	}
	d.ever[k] = version
	if deleted {
		delete(d.items, k)
		d.tombs[k] = tomb{version, d.m.local()}
		return
	}
	d.items[k] = item{version}
}

func (d *dataPlane) drop(ranges replication.RangeSet) {
	d.m.w.check.holes.tear(d.m, ranges)
	for _, k := range d.m.w.keys {
		if ranges.Contains(k.hash) {
			d.m.w.tell("  dropped", []any{d.m.id, k})
			delete(d.items, k)
			delete(d.ever, k)
		}
	}
}

type status uint8

const (
	statusOK status = iota
	statusMiss
	statusMoved
	statusFenced
	statusBehind
)

type reply struct {
	status   status
	version  uint64
	degraded bool
	ring     *ring.Ring
}

// write does a write, as the shard loop would.
func (d *dataPlane) write(k *key, deleted, wait bool, answer func(reply)) {
	if d.ring == nil || !d.ring.Owns(d.m.id, k.hash) {
		answer(reply{status: statusMoved, ring: d.ring})
		return
	}
	if !d.writable(k) {
		answer(reply{status: statusFenced, ring: d.ring})
		return
	}
	d.version[k.shard]++
	v := d.version[k.shard]
	d.set(k, v, deleted)
	d.log[k.shard] = append(d.log[k.shard], record{key: k, version: v, deleted: deleted, at: d.m.local()})
	d.m.readLogSoon()
	d.m.w.check.wrote(d.m, k, v, deleted)
	degraded := d.isDegraded(k)
	if wait && !degraded {
		d.waiting = append(d.waiting, &waiting{k, v, deleted, answer})
		return
	}
	d.m.w.check.acked(d.m, k, v, degraded, false)
	answer(reply{status: statusOK, version: v, degraded: degraded, ring: d.ring})
}

func (d *dataPlane) writable(k *key) bool {
	return d.m.local() < d.fence && !d.held.Contains(k.hash)
}

func (d *dataPlane) isDegraded(k *key) bool {
	return d.m.local() > d.sync || d.degraded.Contains(k.hash)
}

// wakeWaiting answers writes that waited for their replica.
func (d *dataPlane) wakeWaiting() {
	d.waiting = slices.DeleteFunc(d.waiting, func(q *waiting) bool {
		if q.version > d.replicated[q.key.shard] {
			return false
		}
		if d.ring.Owns(d.m.id, q.key.hash) && d.writable(q.key) && !d.degraded.Contains(q.key.hash) {
			d.m.w.check.acked(d.m, q.key, q.version, false, true)
			q.reply(reply{status: statusOK, version: q.version, ring: d.ring})
		}
		return true
	})
}

// read serves a GET of any replica.
func (d *dataPlane) read(k *key, minimum uint64) reply {
	if d.ring == nil || !d.ring.Holds(d.m.id, k.hash) {
		return reply{status: statusMoved, ring: d.ring}
	}
	if d.lacking.Contains(k.hash) && !d.ring.Owns(d.m.id, k.hash) {
		return reply{status: statusBehind, ring: d.ring}
	}
	it, ok := d.items[k]
	if ok && it.version < minimum && d.m.w.fault != plant.IgnoreMinimumVersion {
		return reply{status: statusBehind, ring: d.ring}
	}
	if !ok {
		return reply{status: statusMiss, ring: d.ring}
	}
	return reply{status: statusOK, version: it.version, ring: d.ring}
}

func (k *key) String() string { return fmt.Sprintf("key%d", k.name) }
