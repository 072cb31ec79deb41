package simtest

import (
	"fmt"
	"slices"

	"gannet/replication"
	"gannet/ring"
)

// checker knows the truth about everything, and says which invariant broke first.
type checker struct {
	w       *world
	broken  string
	verbose func(string)

	leads   map[*key]lead
	history map[*key][]*acked
	good    map[goodKey]vouched
	follow  map[ringKey][]uint64
	wiped   map[uint64]int64   // by machine: when it last lost items
	out     map[goodKey]uint32 // by machine: the last epoch in which it was no replica of the key
	epochs  map[uint64]uint32  // by machine: the newest it has published
	life    map[sight]int64    // last sign of life
	accused map[promise]bool
	grants  map[[2]uint64]int64 // by witness and leader: when granted last
	late    map[partKey]int64
	holes   holes
	last    map[sentPart]replication.RangeSet // of parts that end a repair: its ranges
	counts  Counts
}

// Counts tell what happened in a run, to see that it was no quiet one.
type Counts struct {
	Acked, Degraded, Replicated, Lost, Alone, Promotions, Epochs, Handovers uint64
}

type lead struct {
	m     *machine
	epoch uint32
	since int64
}

type acked struct {
	version           uint64
	deleted, degraded bool
	waited            bool
	by                uint64
	at                int64
	followers         []uint64
	lost              bool
}

type goodKey struct {
	leader uint64
	key    *key
}

// vouched is when a leader last said that the followers of a key are in sync.
type vouched struct {
	at        int64
	epoch     uint32
	followers []uint64
}

type sight struct {
	witness, of uint64
	over        replication.Detector
}

type promise struct {
	witness, suspect uint64
	epoch            uint32
}

func newChecker(w *world) *checker {
	return &checker{
		w: w, leads: map[*key]lead{}, history: map[*key][]*acked{}, good: map[goodKey]vouched{}, out: map[goodKey]uint32{}, holes: holes{}, wiped: map[uint64]int64{}, follow: map[ringKey][]uint64{},
		epochs: map[uint64]uint32{}, life: map[sight]int64{}, accused: map[promise]bool{}, grants: map[[2]uint64]int64{}, late: map[partKey]int64{}, last: map[sentPart]replication.RangeSet{},
	}
}

func (c *checker) fail(format string, args ...any) {
	if c.broken == "" {
		c.broken = fmt.Sprintf(format, args...)
	}
}

// published: the machine serves under another ring.
func (c *checker) published(m *machine, _, now *ring.Ring) {
	c.epochs[m.id] = max(c.epochs[m.id], now.Epoch())
	for _, k := range c.w.keys {
		if now.Owns(m.id, k.hash) && !m.dp.held.Contains(k.hash) {
			c.takesLead(m, k, now.Epoch())
		}
	}
}

func (c *checker) heldChanged(m *machine, old, now replication.RangeSet) {
	if m.dp.ring == nil {
		return
	}
	for _, k := range c.w.keys {
		if old.Contains(k.hash) && !now.Contains(k.hash) && m.dp.ring.Owns(m.id, k.hash) {
			c.takesLead(m, k, m.dp.ring.Epoch())
		}
	}
}

// takesLead: the machine may acknowledge writes of the key from now on.
func (c *checker) takesLead(m *machine, k *key, epoch uint32) {
	was := c.leads[k]
	switch {
	case was.epoch > epoch:
		return // it does not know yet that it is late; its fence must hold it back
	case was.m != nil && was.m != m && was.epoch == epoch:
		c.fail("machines %d and %d lead %v in epoch %d", was.m.id, m.id, k, epoch)
	case was.m != nil && was.m != m:
		c.counts.Handovers++
		c.inherits(was.m, m, k)
	case was.m == m && c.wiped[m.id] > was.since:
		c.inherits(m, m, k) // nobody had anything left, see blank
	}
	c.leads[k] = lead{m, epoch, c.w.now}
	c.holes.fill(m, k)
}

// inherits compares what the new leader has with what was acknowledged.
func (c *checker) inherits(from, to *machine, k *key) {
	it, present := to.dp.items[k]
	list := c.history[k]
	for i := len(list) - 1; i >= 0; i-- {
		a := list[i]
		if present && it.version >= a.version || !present && a.deleted {
			return // also when a was allowed to be lost: it was not
		}
		if a.lost {
			continue
		}
		if !c.mayLose(from, to, k, a) {
			what := "an acknowledged write is lost"
			if a.deleted {
				what = "a deleted key comes back"
			}
			c.fail("%s: %v version %x, acknowledged %.3f s ago, is not with machine %d that takes over from %d",
				what, k, a.version, float64(c.w.now-a.at)/1e9, to.id, from.id)
		}
		a.lost = true
		c.counts.Lost++
	}
}

// mayLose: what is younger than the bound when the leader last vouched for its
// follower; and everything when the follower is another, or lost its own memory.
func (c *checker) mayLose(from, to *machine, k *key, a *acked) bool {
	if from == to {
		return c.wiped[to.id] > a.at
	}
	v := c.good[goodKey{from.id, k}]
	if c.out[goodKey{to.id, k}] > v.epoch {
		return true // it has not been whole since, and the acknowledgements said so
	}
	moved := v.at > a.at && !slices.Contains(v.followers, to.id)
	if a.waited && a.by == from.id && !moved && slices.Contains(a.followers, to.id) && c.wiped[to.id] <= a.at {
		return false
	}
	sure := v.at - c.w.cfg.LagNanos - millisecond
	return !slices.Contains(v.followers, to.id) || sure <= c.wiped[to.id] || a.at >= sure
}

func (c *checker) wrote(m *machine, k *key, version uint64, _ bool) {
	if uint32(version>>40) != m.dp.ring.Epoch() {
		c.fail("machine %d gives %v version %x in epoch %d", m.id, k, version, m.dp.ring.Epoch())
	}
}

// acked: the machine says that a write is done.
func (c *checker) acked(m *machine, k *key, version uint64, degraded, waited bool) {
	c.w.note("ack", m.id, uint64(k.name), version)
	c.counts.Acked++
	if l := c.leads[k]; l.m != m {
		if c.w.cfg.AcceptPartitioned && degraded && l.epoch > m.dp.ring.Epoch() {
			c.counts.Alone++
			return // it will lose to the newer epoch, and has said so
		}
		c.fail("machine %d acknowledges %v version %x while %d leads in epoch %d", m.id, k, version, idOf(l.m), l.epoch)
	}
	list := c.history[k]
	deleted := m.dp.items[k].version != version
	a := &acked{by: m.id, version: version, deleted: deleted, degraded: degraded, waited: waited, at: c.w.now}
	a.followers = c.followers(m, k)
	if waited {
		c.counts.Replicated++
		a.deleted = false
		if len(list) > 0 && list[len(list)-1].version > version {
			return // another came later and was acknowledged sooner
		}
	}
	if n := len(list); n > 0 && list[n-1].version >= version {
		c.fail("%v goes back from version %x to %x", k, list[n-1].version, version)
	}
	c.history[k] = append(list, a)
	if degraded {
		c.counts.Degraded++
		return
	}
	if m.local() <= m.dp.sync {
		c.vouch(m)
	}
}

// followers of a key, in the ring that the machine serves.
func (c *checker) followers(m *machine, k *key) []uint64 {
	at := ringKey{m.dp.ring, k}
	list, known := c.follow[at]
	if !known {
		for _, f := range m.dp.ring.Replicas(k.hash, nil)[1:] {
			list = append(list, f.ID)
		}
		c.follow[at] = list
	}
	return list
}

type ringKey struct {
	ring *ring.Ring
	key  *key
}

func idOf(m *machine) uint64 {
	if m == nil {
		return 0
	}
	return m.id
}

// vouch: an acknowledgement that is not degraded says that all followers outside of
// the degraded ranges have what is older than the bound.
func (c *checker) vouch(m *machine) {
	for _, k := range c.w.keys {
		if c.leads[k].m != m || m.dp.degraded.Contains(k.hash) || !m.dp.ring.Owns(m.id, k.hash) {
			continue
		}
		c.good[goodKey{m.id, k}] = vouched{c.w.now, m.dp.ring.Epoch(), c.followers(m, k)}
	}
}

// read: a reply must not be older than what its reader has seen.
func (c *checker) read(m *machine, k *key, minimum, version uint64) {
	if version < minimum {
		c.fail("machine %d shows %v version %x to a reader of %x", m.id, k, version, minimum)
	}
}

func (c *checker) sawLife(m, of *machine, ev replication.Event) {
	switch e := ev.(type) {
	case replication.Heard:
		c.life[sight{m.id, of.id, e.Over}] = c.w.now
	case replication.Received:
		c.life[sight{m.id, of.id, replication.Chatter}] = c.w.now
	}
}

// said looks at what a witness grants.
func (c *checker) said(m *machine, v replication.Send) {
	g, ok := v.Message.(replication.Grant)
	if !ok {
		return
	}
	if c.accused[promise{m.id, v.To, g.Epoch}] {
		c.fail("machine %d grants %d its fence in epoch %d, against its own word", m.id, v.To, g.Epoch)
	}
	if g.Epoch < c.epochs[m.id] {
		c.fail("machine %d grants in epoch %d and knows %d", m.id, g.Epoch, c.epochs[m.id])
	}
	c.grants[[2]uint64{m.id, v.To}] = c.w.now
}

// reported looks at new accusations.
func (c *checker) reported(m *machine, r replication.Report) {
	if r.Wish == replication.WishResign {
		c.accused[promise{m.id, m.id, r.Epoch}] = true
	}
	for _, a := range r.Accused {
		p := promise{m.id, a.Suspect, r.Epoch}
		if c.accused[p] {
			continue
		}
		c.accused[p] = true
		c.w.note("accuse", m.id, a.Suspect, uint64(a.Sign), uint64(r.Epoch))
		heard := max(c.life[sight{m.id, a.Suspect, replication.DataPath}], c.life[sight{m.id, a.Suspect, replication.Chatter}])
		if silent := c.w.now - heard; a.Sign == replication.Silence && silent < 700*millisecond {
			c.fail("machine %d accuses %d after %d ms of silence", m.id, a.Suspect, silent/millisecond)
		}
		granted := c.grants[[2]uint64{m.id, a.Suspect}]
		if granted != 0 && c.w.now-granted < c.w.cfg.FenceNanos {
			c.fail("machine %d accuses %d while its grant stands", m.id, a.Suspect)
		}
	}
}

// applies: a batch is taken in its own epoch only.
func (c *checker) applies(m *machine, b replication.Batch) {
	if b.Epoch != c.epochs[m.id] {
		c.fail("machine %d is at epoch %d and applies a batch of epoch %d", m.id, c.epochs[m.id], b.Epoch)
	}
}

// appliesPart notes a part in whose time deletes were forgotten.
func (c *checker) appliesPart(m *machine, records []record, done replication.PartApplied) (late bool) {
	if age := c.w.now - records[0].at; age > c.w.cfg.TombstoneNanos {
		c.late[partKey{m.id, done.ID, done.Number}] = age
		late = true
	}
	return late
}

// takesPart: no delete since a part was read may be forgotten when it is applied.
func (c *checker) takesPart(m *machine, a replication.PartAck) {
	if age, late := c.late[partKey{m.id, a.ID, a.Number}]; late {
		c.fail("machine %d takes a part that was read %d ms before it was applied", m.id, age/millisecond)
	}
}

type partKey struct {
	machine, id uint64
	number      uint32
}

// committed looks at a change of the ring.
func (c *checker) committed(old, now replication.Record) {
	c.counts.Epochs++
	if old.Ring == nil {
		return
	}
	if now.Epoch() != old.Epoch()+1 {
		c.fail("epoch %d follows epoch %d", now.Epoch(), old.Epoch())
		return
	}
	if know := c.know(old.PrevVoters, old.Epoch()); len(old.PrevVoters) > 0 && know < enough(len(old.PrevVoters)) {
		c.fail("epoch %d begins when %d of %d voters of epoch %d know a later one", now.Epoch(), know, len(old.PrevVoters), old.Epoch()-1)
	}
	for _, id := range old.Voters() {
		if len(now.Blank) > 0 && !c.accused[promise{id, id, old.Epoch()}] {
			c.fail("epoch %d begins without items, but machine %d has some", now.Epoch(), id)
		}
	}
	c.leftOut(now.Ring)
	for _, m := range now.Ring.Members() {
		was := old.Ring.Member(m.ID)
		if m.State == ring.Down && was != nil && was.State.Serves() {
			c.promoted(old, m.ID)
		}
	}
}

// leftOut notes who is no replica of a key any more: what it was vouched to have it
// need not keep.
func (c *checker) leftOut(r *ring.Ring) {
	for _, k := range c.w.keys {
		for _, m := range c.w.machines {
			if !r.Holds(m.id, k.hash) {
				c.out[goodKey{m.id, k}] = r.Epoch()
			}
		}
	}
}

func (c *checker) know(voters []uint64, epoch uint32) (know int) {
	for _, id := range voters {
		if c.epochs[id] >= epoch {
			know++
		}
	}
	return know
}

// enough is how many must refuse so that the others are no majority.
func enough(voters int) int { return voters - voters/2 }

func (c *checker) promoted(old replication.Record, suspect uint64) {
	c.counts.Promotions++
	if c.accused[promise{suspect, suspect, old.Epoch()}] {
		return
	}
	witnesses := 0
	for _, id := range old.Voters() {
		if c.accused[promise{id, suspect, old.Epoch()}] {
			witnesses++
		}
	}
	if witnesses < enough(len(old.Voters())) {
		c.fail("machine %d goes down in epoch %d on the word of %d of %d", suspect, old.Epoch()+1, witnesses, len(old.Voters()))
	}
}

// converged looks at the end whether all is well again.
func (c *checker) converged() {
	w := c.w
	newest := w.etcd.rec
	if newest.Ring == nil {
		c.fail("there is no ring at the end")
		return
	}
	if !w.etcd.allActive() {
		c.fail("at the end the members are not all active: %v", states(newest.Ring))
	}
	for _, m := range w.machines {
		if c.epochs[m.id] != newest.Epoch() {
			c.fail("machine %d is at epoch %d at the end, the ring at %d", m.id, c.epochs[m.id], newest.Epoch())
		}
	}
	for _, k := range w.keys {
		c.sameEverywhere(newest.Ring, k)
	}
}

func states(r *ring.Ring) (list []string) {
	for _, m := range r.Members() {
		list = append(list, fmt.Sprintf("%d %v", m.ID, m.State))
	}
	return list
}

func (c *checker) sameEverywhere(r *ring.Ring, k *key) {
	replicas := r.Replicas(k.hash, nil)
	if len(replicas) == 0 {
		c.fail("nobody serves %v at the end", k)
		return
	}
	leader := c.w.byID[replicas[0].ID]
	want, there := leader.dp.items[k]
	if !leader.dp.writable(k) {
		c.fail("%v cannot be written at the end", k)
	}
	for _, f := range replicas[1:] {
		if has, also := c.w.byID[f.ID].dp.items[k]; has != want || also != there {
			c.fail("%v is %x with its leader %d and %x with its follower %d", k, want.version, leader.id, has.version, f.ID)
		}
	}
	c.inherits(leader, leader, k)
}
