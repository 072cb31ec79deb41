package simtest

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"

	"gannet/replication"
	"gannet/replication/internal/plant"
	"gannet/ring"
)

const (
	microsecond = int64(1e3)
	millisecond = int64(1e6)
	second      = int64(1e9)
)

// world is one run: the true time, what is to happen, and everybody in it.
type world struct {
	rng    *rand.Rand
	now    int64 // true time
	queue  eventQueue
	number uint64
	trace  hash.Hash64
	steps  uint64

	cfg      replication.Config
	fault    plant.Fault
	machines []*machine
	byID     map[uint64]*machine
	etcd     *etcd
	clients  []*client
	net      *network
	keys     []*key
	check    *checker
	calm     bool // no faults any more
}

type scheduled struct {
	at     int64
	number uint64
	run    func()
}

type eventQueue []scheduled

func (q eventQueue) before(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].number < q[j].number
}

// push and pop keep a heap in which each has four below it.
func (q *eventQueue) push(s scheduled) {
	h := append(*q, s)
	*q = h
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 4
		if !h.before(i, up) {
			return
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

func (q *eventQueue) pop() scheduled {
	h := *q
	first, last := h[0], len(h)-1
	h[0] = h[last]
	h[last] = scheduled{}
	h = h[:last]
	*q = h
	for i := 0; ; {
		least := i
		for j := 4*i + 1; j <= 4*i+4 && j < len(h); j++ {
			if h.before(j, least) {
				least = j
			}
		}
		if least == i {
			return first
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

// after lets something happen later.
func (w *world) after(delay int64, run func()) {
	w.number++
	w.queue.push(scheduled{w.now + max(delay, 0), w.number, run})
}

// every repeats until the run ends.
func (w *world) every(period int64, run func()) {
	var again func()
	again = func() {
		run()
		w.after(period, again)
	}
	w.after(period, again)
}

// runUntil lets everything happen up to a time, or to the first broken invariant.
func (w *world) runUntil(end int64) {
	for len(w.queue) > 0 && w.queue[0].at <= end && w.check.broken == "" {
		next := w.queue.pop()
		w.now = next.at
		w.steps++
		next.run()
	}
	w.now = max(w.now, end)
}

// note adds to the trace, whose hash must be the same for the same seed.
func (w *world) note(what string, values ...uint64) {
	_, _ = w.trace.Write([]byte(what)) // a hash does not fail
	var b [8]byte
	for _, v := range values {
		binary.LittleEndian.PutUint64(b[:], v)
		_, _ = w.trace.Write(b[:])
	}
	binary.LittleEndian.PutUint64(b[:], uint64(w.now))
	_, _ = w.trace.Write(b[:])
	w.tell(what, values)
}

// tell is for whoever reads along.
func (w *world) tell(what string, args any) {
	if w.check.verbose != nil {
		w.check.verbose(fmt.Sprintf("%9.4f %s %.180v", float64(w.now)/1e9, what, fmt.Sprint(args)))
	}
}

// between is a duration drawn evenly.
func (w *world) between(low, high int64) int64 { return low + w.rng.Int64N(high-low+1) }

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

func newWorld(seed uint64, fault plant.Fault, verbose func(string)) *world {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 0x9E3779B97F4A7C15)), trace: fnv.New64a(), fault: fault,
		byID: map[uint64]*machine{},
	}
	w.check = newChecker(w)
	w.check.verbose = verbose
	w.cfg = replication.Config{
		TombstoneNanos: 4 * second, RepairBytesPerSecond: 400_000, RetainBytes: 150_000, LossNanos: 5 * second,
	}.WithDefaults().Plant(fault)
	w.cfg.AcceptPartitioned = seed%5 == 4
	members := 3 + int(seed%3)
	w.cfg.Expect = members
	w.net = newNetwork(w)
	w.etcd = newEtcd(w)
	for i := range 40 {
		w.keys = append(w.keys, newKey(i))
	}
	for i := range members {
		w.addMachine(i)
	}
	for i := range 3 {
		w.clients = append(w.clients, newClient(w, i))
	}
	return w
}

func memberOf(i int) ring.Member {
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 9800)
	return ring.Member{
		ID: uint64(i + 1), Name: fmt.Sprintf("n%d", i+1), Zone: fmt.Sprintf("z%d", i%3), Addr: addr, Shards: shards, Weight: 1,
	}
}

func (w *world) addMachine(i int) *machine {
	m := newMachine(w, memberOf(i))
	w.machines = append(w.machines, m)
	w.byID[m.id] = m
	m.boot(true)
	return m
}
