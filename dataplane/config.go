package dataplane

import (
	"errors"
	"fmt"

	"gannet/board"
	"gannet/dataplane/port"
	"gannet/security"
	"gannet/shard"
)

// Config is what a loop is made of. The loop takes over port and shard: nobody
// else may use them until Close.
type Config struct {
	Shard  int // its number on this node
	Shards int
	Port   port.Port
	Store  *shard.Shard
	Board  *board.Board

	Log *Log // the one given to shard.Open; nil = none

	Cookies  *security.Cookies
	Rings    *Rings    // the ring served by; nil = this node owns every key
	Exchange *Exchange // to the other shards; nil = there are none

	NodeID        uint64
	BootID        uint64 // told to clients by HELLO: another one means an empty memory
	BasePort      uint16
	MaxValueBytes int
	Policy        string
	MemoryBytes   int64

	// SpinNanos is the longest time an idle loop polls before it sleeps, and
	// HeartbeatNanos the longest time it sleeps.
	SpinNanos      int64
	HeartbeatNanos int64

	// TailBytes is the length from which a value leaves as a tail, straight out of
	// its slab: 0 decides by what the port can do; negative never, nor in place.
	TailBytes int

	// Stamp tells the XDP program that the loop is alive; nil = there is none.
	Stamp func(nowNanos int64)
	// Hot is where the hottest items are answered before their GETs reach the loop;
	// nil = nowhere. It needs Log, by which it learns of what changes.
	Hot HotTable
	// HotNanos is the time between two looks at what is hot; 0 = 100 ms.
	HotNanos int64
	// Clock reads CLOCK_BOOTTIME once a batch has been served; nil = the turn's
	// time is taken for everything.
	Clock func() int64
}

// Sizes of a loop. They bound what one turn does, so that a heartbeat, a scan or a
// short GET waits for little.
const (
	batchDatagrams   = 64
	batchGets        = shard.MaxBatch // at least as many as a datagram has operations
	maxContinuations = 64
	partsEachTurn    = 4  // of one continuation
	partsPerTurn     = 32 // of all continuations
	lateRepliesTurn  = 8
	applyPerTurn     = 32
	scanItemsTurn    = 32
	dropItemsTurn    = 256
	maxWaits         = 256
	waitOps          = 8
	usesBytes        = 512 * 8
	usesNanos        = int64(10e6)
	longestWaitNanos = int64(1e9)
	advanceBudget    = 64
	wheelFrames      = 512
	tokensPerTurn    = 256
	scratchBytes     = 64 << 10

	defaultTailBytes     = 1024
	defaultHeartbeat     = int64(25e6)
	publishNanos         = int64(10e6)
	beatNanos            = int64(200e3)
	slowPublishNanos     = int64(1e9)
	defaultMaxValueBytes = shard.DefaultMaxValueBytes
)

func (c *Config) complete() error {
	switch {
	case c.Port == nil, c.Store == nil, c.Board == nil, c.Cookies == nil:
		return errors.New("dataplane: a loop needs a port, a shard, a board and cookies")
	case c.Shards < 1 || c.Shard < 0 || c.Shard >= c.Shards:
		return fmt.Errorf("dataplane: shard %d of %d does not exist", c.Shard, c.Shards)
	case c.Board.Shards() < c.Shards:
		return fmt.Errorf("dataplane: the board was made for %d shards, not %d: create it anew", c.Board.Shards(), c.Shards)
	case c.Shards > 1 && c.Exchange == nil:
		return errors.New("dataplane: several shards need an exchange between them")
	case c.Hot != nil && c.Log == nil:
		return errors.New("dataplane: publishing hot keys needs the shard's log")
	}
	if c.HeartbeatNanos <= 0 {
		c.HeartbeatNanos = defaultHeartbeat
	}
	if c.HotNanos <= 0 {
		c.HotNanos = hotInterval
	}
	if c.MaxValueBytes <= 0 {
		c.MaxValueBytes = defaultMaxValueBytes
	}
	return nil
}

// tailBytes returns the length from which values leave as tails.
func (c *Config) tailBytes(caps port.Caps) int {
	switch {
	case c.TailBytes > 0:
		return c.TailBytes
	case c.TailBytes == 0 && caps.ZeroCopyTail && caps.MaxSegments > 1:
		return defaultTailBytes
	}
	return int(^uint(0) >> 1)
}
