package client

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"gannet/wire"
)

const (
	// idleLoad is a load below which shards count as equally idle.
	idleLoad = 1.0 / 16
	// loadHalfNanos is after how long without a word a shard counts as half as busy as it
	// said: whoever is left alone gets idle.
	loadHalfNanos = int64(100e6)
	// spreadStepNanos is the shortest time between two corrections of a share, and
	// spreadLongestNanos the longest that one makes up for.
	spreadStepNanos    = int64(5e6)
	spreadLongestNanos = int64(100e6)
	// spreadGain is how much of its reads a shard twice as busy as the bound hands over,
	// after a second; reports are some 20 ms old, which bounds it.
	spreadGain = 4.0
	// mostSpread is the largest share that is handed over: without reads of its own a
	// shard would tell nothing.
	mostSpread = 0.95
	// hotSpread is a share from which on the keys are hot: their replicas take turns, until
	// hotHoldNanos after the share was so large last.
	hotSpread    = 0.25
	hotHoldNanos = int64(5e9)
)

// gauge is how busy a shard said it is, and when.
type gauge struct{ word atomic.Uint64 } // share of 65535:16 | microseconds:48

func (g *gauge) set(figure uint16, nowNanos int64) {
	g.word.Store(uint64(nowNanos/1000)<<16 | uint64(figure))
}

// load is the last word, or less if it is old; 0 to 1.
func (g *gauge) load(nowNanos int64) float64 {
	w := g.word.Load()
	halves := (nowNanos - int64(w>>16)*1000) / loadHalfNanos
	return math.Ldexp(float64(w&0xFFFF)/65535, -int(max(0, min(halves, 64))))
}

// spread is the share of a shard's reads that go to the other replicas of their keys
// because the shard is busier than the bound allows. The bound is of Mirrokni, Thorup
// and Zadimoghaddam, "Consistent Hashing with Bounded Loads" (SODA 2018): a factor
// times the mean of the replicas. What the shard says is a consequence of what was
// handed over before, so the share is corrected by how far off the bound the load is
// (an integral controller), rather than chosen anew each time: that would settle above
// the bound, or swing.
type spread struct {
	share     atomic.Uint64 // bits of a float
	stepNanos atomic.Int64  // of the last correction
	hotNanos  atomic.Int64  // until when its keys are hot at least
}

// now is the share, after a correction if one is due.
func (s *spread) now(nowNanos int64, excess func() float64) float64 {
	share := math.Float64frombits(s.share.Load())
	last := s.stepNanos.Load()
	passed := nowNanos - last
	if passed < spreadStepNanos || !s.stepNanos.CompareAndSwap(last, nowNanos) {
		return share
	}
	share += excess() * spreadGain * float64(min(passed, spreadLongestNanos)) / float64(time.Second)
	share = max(0, min(share, mostSpread))
	s.share.Store(math.Float64bits(share))
	return share
}

// shardOf is what the client knows of the node's shard that has a key; nil before the
// HELLO.
func (n *node) shardOf(hash uint64) *pool {
	info := n.info.Load()
	if info == nil {
		return nil
	}
	return &info.pools[wire.ShardOf(hash, int(info.Shards))]
}

// reportedLoad is how busy the node's shard for a key is, 0 to 1, idleLoad at least.
func (n *node) reportedLoad(hash uint64, nowNanos int64) float64 {
	if p := n.shardOf(hash); p != nil {
		return max(p.load.load(nowNanos), idleLoad)
	}
	return idleLoad
}

// hotNow says whether so much is handed over, or was a moment ago, that the keys count as
// hot.
func (s *spread) hotNow(share float64, nowNanos int64) bool {
	if share >= hotSpread {
		s.hotNanos.Store(nowNanos + hotHoldNanos)
		return true
	}
	return nowNanos < s.hotNanos.Load()
}

// turns are how many reads of some keys each of their replicas was given lately, while
// they were hot: 16 bits for each. They are halved when they are turnsKept together.
//
// What shards say of their load bounds what each has to do, where all do it equally fast.
// A shard that is twice as fast would be given twice the reads, at the same load, and have
// nothing left when the other one dies; so the turns are bounded, too, by the same rule,
// and load chooses among those that have not had their part.
type turns struct{ word atomic.Uint64 }

const (
	turnsKept = 1 << 10
	// spreadSets is how many accounts there are for a leader's shard. Those of keys with
	// other followers may share one, where there are many.
	spreadSets = 32
)

// take gives a turn to one of the replicas: the wanted one, or, when that has had factor
// times the mean, the one with most room among those that have not. There always is one.
func (t *turns) take(wanted int, rooms []float64, factor float64) int {
	for {
		before := t.word.Load()
		sum := turnsSum(before)
		most := factor * (float64(sum)/float64(len(rooms)) + 1)
		i := wanted
		if float64(turnsOf(before, i)) >= most {
			i = -1
			for other, room := range rooms {
				if float64(turnsOf(before, other)) < most && (i < 0 || room > rooms[i]) {
					i = other
				}
			}
		}
		i = max(i, 0)
		next := before + 1<<(16*i)
		if sum+1 >= turnsKept {
			next = next >> 1 & 0x7FFF_7FFF_7FFF_7FFF
		}
		if t.word.CompareAndSwap(before, next) {
			return i
		}
	}
}

func turnsOf(word uint64, replica int) uint64 { return word >> (16 * replica) & 0xFFFF }

func turnsSum(word uint64) (sum uint64) {
	for i := range maxReplicas {
		sum += turnsOf(word, i)
	}
	return sum
}

// turnsOfReplicas finds the account of the keys that these nodes hold.
func (p *pool) turnsOfReplicas(replicas []*node) *turns {
	set := uint64(0)
	for _, n := range replicas {
		set = (set + uint64(n.place)) * 0x9E3779B97F4A7C15
	}
	return &p.turns[set>>32%uint64(len(p.turns))]
}

// turnedTo is the replica that a read goes to instead of the leader, the first; nil:
// the leader keeps it.
func (c *Client) turnedTo(replicas []*node, hash uint64) *node {
	home := replicas[0].shardOf(hash)
	if home == nil {
		return nil
	}
	now := c.nowNanos()
	// Reports are late and rough: aim half-way, and the bound holds.
	aim := (1 + c.settings.loadBound) / 2
	share := home.spread.now(now, func() float64 {
		return replicas[0].reportedLoad(hash, now)/(aim*meanLoad(replicas, hash, now)) - 1
	})
	hot := home.spread.hotNow(share, now)
	if share == 0 && !hot {
		return nil
	}
	var some [maxReplicas]*node
	usable := c.usable(replicas, &some)
	if len(usable) < 2 || usable[0] != replicas[0] {
		return nil
	}
	var free [maxReplicas]float64
	rooms := c.rooms(usable, hash, now, &free)
	wanted := 0
	if rand.Float64() < share {
		wanted = roomiest(rooms)
	}
	if hot {
		wanted = home.turnsOfReplicas(usable).take(wanted, rooms, aim)
	}
	if wanted == 0 {
		return nil
	}
	return usable[wanted]
}

// usable are the replicas whose breaker is closed. The others are probed.
func (c *Client) usable(replicas []*node, room *[maxReplicas]*node) []*node {
	n := 0
	for _, replica := range replicas {
		if c.isUsable(replica) {
			room[n] = replica
			n++
		}
	}
	return room[:n]
}

// meanLoad is how busy the replicas of a key are.
func meanLoad(replicas []*node, hash uint64, nowNanos int64) float64 {
	sum := 0.0
	for _, n := range replicas {
		sum += n.reportedLoad(hash, nowNanos)
	}
	return sum / float64(len(replicas))
}

// rooms are how far each of the replicas is below the bound.
func (c *Client) rooms(replicas []*node, hash uint64, nowNanos int64, free *[maxReplicas]float64) []float64 {
	bound := c.settings.loadBound * meanLoad(replicas, hash, nowNanos)
	for i, n := range replicas {
		free[i] = bound - n.reportedLoad(hash, nowNanos)
	}
	return free[:len(replicas)]
}

// roomiest picks one of the followers, each with a probability as it has room; the
// leader, 0, when none has.
func roomiest(rooms []float64) int {
	total := 0.0
	for _, room := range rooms[1:] {
		total += max(0, room)
	}
	at := rand.Float64() * total
	for i, room := range rooms[1:] {
		if at -= max(0, room); at < 0 {
			return i + 1
		}
	}
	return 0
}
