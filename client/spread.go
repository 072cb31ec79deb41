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

// turnedTo is the replica that a read goes to instead of the leader, the first; nil:
// the leader keeps it.
func (c *Client) turnedTo(replicas []*node, hash uint64) *node {
	home := replicas[0].shardOf(hash)
	if home == nil {
		return nil
	}
	now := c.nowNanos()
	share := home.spread.now(now, func() float64 {
		// Reports are late and rough: aim half-way, and the bound holds.
		aim := (1 + c.settings.loadBound) / 2
		return replicas[0].reportedLoad(hash, now)/(aim*meanLoad(replicas, hash, now)) - 1
	})
	if share == 0 || rand.Float64() >= share {
		return nil
	}
	return c.roomiest(replicas, hash, now)
}

// meanLoad is how busy the replicas of a key are.
func meanLoad(replicas []*node, hash uint64, nowNanos int64) float64 {
	sum := 0.0
	for _, n := range replicas {
		sum += n.reportedLoad(hash, nowNanos)
	}
	return sum / float64(len(replicas))
}

// roomiest picks one of the followers, each with a probability as it has room below
// the bound; nil when none has.
func (c *Client) roomiest(replicas []*node, hash uint64, nowNanos int64) *node {
	bound := c.settings.loadBound * meanLoad(replicas, hash, nowNanos)
	var rooms [maxReplicas]float64
	total := 0.0
	for i, n := range replicas[1:] {
		rooms[i] = max(0, bound-n.reportedLoad(hash, nowNanos))
		total += rooms[i]
	}
	at := rand.Float64() * total
	for i, n := range replicas[1:] {
		if at -= rooms[i]; at < 0 {
			return n
		}
	}
	return nil
}
