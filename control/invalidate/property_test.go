package invalidate

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

const (
	stepNanos     = 10e6
	longestDelay  = 80e6
	universeBound = 1e9 /* silent */ + 100e6 /* grace */ + longestDelay + 4*stepNanos
)

// cluster is one origin of writes and other nodes, each with a subscriber that keeps
// copies, on a network that loses, doubles, delays and reorders.
type cluster struct {
	t           *rapid.T
	now         int64
	origin      *Hub
	incarnation uint64
	truth       map[string]Write // by key
	written     map[string]int64 // when
	version     uint64
	others      []*observer
	flying      []flight
	lossPercent int
}

type flight struct {
	at      int64
	to      int // of others
	payload []byte
}

// observer is a node and a subscriber of its, which keeps copies.
type observer struct {
	hub    *Hub
	sub    *Subscription
	copies map[string]uint64 // key → version
	covers bool              // the origin
}

func newCluster(t *rapid.T, others int) *cluster {
	c := &cluster{t: t, now: 1e9, truth: map[string]Write{}, written: map[string]int64{}}
	c.startOrigin()
	for i := range others {
		hub := NewHub(Config{
			Origin: uint64(i + 2), Incarnation: 1, Timing: DefaultTiming(), Queue: 4,
			Spread: func([]byte) {}, Peers: func() int { return others },
		})
		sub, err := hub.Subscribe(InterestGranted)
		if err != nil {
			t.Fatal(err)
		}
		c.others = append(c.others, &observer{hub: hub, sub: sub, copies: map[string]uint64{}})
	}
	return c
}

func (c *cluster) startOrigin() {
	c.incarnation++
	c.origin = NewHub(Config{
		Origin: 1, Incarnation: c.incarnation, Timing: DefaultTiming(),
		Spread: func(p []byte) {
			for i := range c.others {
				c.send(i, p)
			}
		},
		Peers: func() int { return len(c.others) },
	})
}

func (c *cluster) send(to int, payload []byte) {
	copies := rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(c.t, "copies")
	for range copies {
		if rapid.IntRange(0, 99).Draw(c.t, "luck") < c.lossPercent {
			continue
		}
		delay := rapid.Int64Range(0, longestDelay).Draw(c.t, "delay")
		c.flying = append(c.flying, flight{c.now + delay, to, payload})
	}
}

func (c *cluster) write() {
	var writes []Write
	for range rapid.IntRange(1, 3).Draw(c.t, "writes") {
		c.version++
		key := fmt.Sprint("k", rapid.IntRange(0, 5).Draw(c.t, "key"))
		w := Write{Key: []byte(key), Version: c.version, Cached: true}
		c.truth[key], c.written[key] = w, c.now
		writes = append(writes, w)
	}
	c.origin.Announce(c.now, writes)
}

// fill lets a subscriber read an item from its leader and keep a copy.
func (c *cluster) fill() {
	o := c.others[rapid.IntRange(0, len(c.others)-1).Draw(c.t, "who")]
	key := fmt.Sprint("k", rapid.IntRange(0, 5).Draw(c.t, "key"))
	if o.covers {
		o.copies[key] = c.truth[key].Version
	}
}

func (c *cluster) step() {
	c.now += stepNanos
	flying := c.flying
	c.flying = nil // what is passed on below joins it
	for _, f := range flying {
		if f.at > c.now {
			c.flying = append(c.flying, f)
			continue
		}
		if c.others[f.to].hub.Receive(c.now, f.payload) {
			for i := range c.others { // news are passed on
				if i != f.to {
					c.send(i, f.payload)
				}
			}
		}
	}
	c.origin.Tick(c.now)
	for _, o := range c.others {
		o.hub.Tick(c.now)
		o.drain()
	}
	c.check()
}

// drain does what the notices ask for.
func (o *observer) drain() {
	o.sub.mu.Lock()
	queue := o.sub.queue
	o.sub.queue = nil
	o.sub.mu.Unlock()
	for _, n := range queue {
		switch n.Action {
		case ActionFlush:
			switch n.Origin {
			case 0, 1:
				clear(o.copies)
				o.covers = n.Covered
			}
		case ActionInvalidate:
			if o.copies[string(n.Key)] < n.Version {
				delete(o.copies, string(n.Key))
			}
		}
	}
}

// check is the promise: no copy is old for longer than it takes to notice.
func (c *cluster) check() {
	for i, o := range c.others {
		for key, version := range o.copies {
			if age := c.now - c.written[key]; version < c.truth[key].Version && age > universeBound {
				c.t.Fatalf("node %d keeps %s at version %d, which became %d %d ms ago", i+2, key, version, c.truth[key].Version, age/1e6)
			}
		}
	}
}

func TestNoCopyStaysOldUnnoticed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCluster(t, rapid.IntRange(1, 3).Draw(t, "others"))
		c.lossPercent = c.drawLoss()
		for range rapid.IntRange(5, 25).Draw(t, "phases") {
			switch rapid.SampledFrom([]string{"loss", "restart", "busy", "busy"}).Draw(t, "phase") {
			case "loss":
				c.lossPercent = c.drawLoss()
			case "restart":
				c.startOrigin()
			}
			c.fill()
			if rapid.Bool().Draw(t, "writes") {
				c.write()
			}
			for range rapid.SampledFrom([]int{1, 5, 30, 130}).Draw(t, "steps") {
				c.step()
			}
		}
		c.lossPercent = 0
		for range 30 {
			c.step()
		}
		for i, o := range c.others {
			if !o.covers {
				t.Fatalf("the network has healed, but node %d does not cover the origin", i+2)
			}
		}
	})
}

func (c *cluster) drawLoss() int {
	return rapid.SampledFrom([]int{0, 10, 50, 100}).Draw(c.t, "percent")
}

// TestQuietNetworkFlushesNothing: without loss nobody is told to flush, however the
// batches overtake each other within the grace.
func TestQuietNetworkFlushesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCluster(t, 2)
		for range rapid.IntRange(10, 150).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "write") {
				c.write()
			}
			c.step()
		}
		for _, o := range c.others {
			if st := o.hub.Stats(); st.Flushes[FlushGap]+st.Flushes[FlushSilent]+st.Flushes[FlushRestart] != 0 {
				t.Fatalf("%+v", st)
			}
		}
	})
}

// TestTrackerAgainstSets compares the tracker with one that remembers every number.
func TestTrackerAgainstSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := &origin{next: 1}
		heard := map[uint64]bool{}
		last := uint64(1)
		for range rapid.IntRange(1, 60).Draw(t, "batches") {
			first := rapid.Uint64Range(1, 60).Draw(t, "first")
			b := &batch{first: first, events: make([]Event, rapid.IntRange(0, 8).Draw(t, "count"))}
			dup := o.heardBefore(b)
			news := b.next() > last
			for i := range b.events {
				if dup(i) != heard[first+uint64(i)] {
					t.Fatalf("%d: duplicate %t, %+v", first+uint64(i), dup(i), o)
				}
				news = news || !heard[first+uint64(i)]
				heard[first+uint64(i)] = true
			}
			last = max(last, b.next())
			if got := o.take(run{b.first, b.next(), 1}); got != news {
				t.Fatalf("news %t, want %t: %+v after %+v", got, news, o, b)
			}
			next := uint64(1)
			for heard[next] {
				next++
			}
			_, missing := o.missing()
			if o.next != next || missing != (next < last) || o.last() != last {
				t.Fatalf("%+v, want next %d, last %d", o, next, last)
			}
		}
	})
}

func FuzzBatch(f *testing.F) {
	b := batch{origin: 1, incarnation: 2, first: 3, everyMillis: 200, events: []Event{{[]byte("key"), 9}, {[]byte("k"), 10}}}
	f.Add((&batch{origin: 1, incarnation: 2, first: 3, wantsAll: true, tellsAll: true}).encode())
	f.Add(b.encode())
	f.Add((&batch{origin: 1, incarnation: 2, first: 3}).encode())
	f.Fuzz(func(t *testing.T, payload []byte) {
		b, err := decodeBatch(payload)
		if err != nil {
			return
		}
		if got := b.encode(); string(got) != string(payload) {
			t.Errorf("%x is read as %+v", payload, b)
		}
		NewHub(Config{Origin: 1, Timing: DefaultTiming()}).Receive(1, payload)
	})
}
