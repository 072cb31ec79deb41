package dataplane

import (
	"gannet/board"
	"gannet/dataplane/port"
	"gannet/ring"
	"gannet/security"
	"gannet/shard"
	"gannet/wire"
)

// Loop serves one shard. It belongs to one goroutine.
type Loop struct {
	cfg        Config
	port       port.Port
	caps       port.Caps
	anyPayload int // the longest reply to any peer: the lesser limit of caps
	store      *shard.Shard
	cookies    *security.Cookies
	neighbor   neighbor
	hot        hotKeys
	grants     grants
	tailBytes  int  // values at least that long leave as tails
	sums       bool // the port wants the payload's sum

	// The turn's own, in the order of the stages.
	nowNanos   int64
	writable   bool       // the fence lies ahead
	ring       *ring.Ring // nil = this node owns every key
	epoch      uint32
	rx         [batchDatagrams]port.Rx
	batch      [batchDatagrams]inbound // batch[i] came as rx[i]
	batchSize  int
	gets       [batchGets]shard.Get
	asks       [batchGets]ask
	getCount   int
	pending    [batchDatagrams]pending // datagrams whose GETs stand in gets
	pendings   int
	proofs     proofs
	reply      builder
	write      shard.Write
	upload     shard.Upload
	scratch    []byte // a copy of a datagram with writes among its operations
	mixed      wire.Request
	hashes     [batchHashes]uint64
	writes     writes // of the datagram being served, not yet answered
	lateQuota  int    // TOO_LATE replies left in this turn
	leaseQuota int    // further frames left in this turn
	tokens     [tokensPerTurn]uint64

	tx            []port.Tx // built, not yet taken by the port
	wheel         wheel
	loss          losses
	continuations continuations
	load          load
	counts        counts
	idle          idle
	leaveFrame    func(port.Tx) // bound once
	started       chan struct{} // closed by Run
	change        portChange

	// What STATS reads of all shards.
	counters []*board.Counters
	memories []*board.Memory
}

// inbound is a datagram on its way through the stages.
type inbound struct {
	rx      *port.Rx // its place in Loop.rx, always the same
	req     wire.Request
	reason  wire.Reason
	verdict verdict
	status  wire.Status // of verdictStatus
	code    wire.Opcode // of the first operation
	token   uint64      // of verdictStatus: a fresh cookie
	hashAt  int         // of verdictOps: where its keys' hashes stand in Loop.hashes
}

// New makes a loop. It serves from the first Turn on.
func New(cfg Config) (*Loop, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	caps := cfg.Port.Caps()
	frames := cfg.Port.Census().All
	l := &Loop{
		cfg: cfg, port: cfg.Port, caps: caps, store: cfg.Store, cookies: cfg.Cookies,
		tailBytes:  cfg.tailBytes(caps),
		sums:       caps.Rung != port.RungUDP,
		scratch:    make([]byte, scratchBytes),
		started:    make(chan struct{}),
		tx:         make([]port.Tx, 0, frames),
		leaseQuota: max(1, frames/4),
	}
	l.leaveFrame = l.leave
	l.initPortChange()
	for i := range l.batch {
		l.batch[i].rx = &l.rx[i]
	}
	for n := range cfg.Shards {
		l.counters = append(l.counters, cfg.Board.Counters(n))
		l.memories = append(l.memories, cfg.Board.ShardMemory(n))
	}
	l.wheel.init(min(wheelFrames, frames/2))
	l.neighbor.init(l)
	l.counts.init(cfg.Board, cfg.Shard)
	l.loss.table = cfg.Board.Losses(cfg.Shard)
	l.hot.init(&cfg, &l.counts)
	l.grants.init(l, cfg.Log)
	l.idle.init(cfg.SpinNanos)
	if cfg.Exchange != nil {
		cfg.Exchange.attach(cfg.Shard, l.Wake)
	}
	return l, nil
}

// Turn takes one batch through all stages, and says whether there was anything to
// do. It never blocks. nowNanos is CLOCK_BOOTTIME and does not go backwards.
func (l *Loop) Turn(nowNanos int64) (worked bool) {
	l.begin(nowNanos)
	l.settle()
	l.recv()
	l.parse()
	l.guard()
	l.lookup()
	l.serveOps()
	parts := l.continueReplies()
	due := l.departDue()
	l.send()
	l.finish()
	worked = l.attend()
	worked = worked || l.batchSize > 0 || parts > 0 || due > 0
	l.load.turn(nowNanos, worked)
	l.publish()
	if invariants {
		l.checkCensus()
	}
	return worked
}

// begin looks once at what may change between turns.
func (l *Loop) begin(nowNanos int64) {
	l.nowNanos = nowNanos
	l.changePort()
	l.counts.n[board.CountTurns]++
	l.writable = l.neighbor.fence.Allows(nowNanos)
	l.lateQuota = lateRepliesTurn
	l.anyPayload = min(l.caps.MaxPayload, l.caps.MaxPayload6) // a port may have changed
	l.leaseQuota = max(1, cap(l.tx)/4)
	l.adoptRing()
	l.heed()
	l.beat()
	l.attendHot()
	l.attendGrants()
}

// settle unpins values whose tails the port has sent.
func (l *Loop) settle() {
	for {
		n := l.port.Completed(l.tokens[:])
		for _, token := range l.tokens[:n] {
			l.giveBack(token)
		}
		if n < len(l.tokens) {
			return
		}
	}
}

// heldFrames counts the frames that stay with the loop between turns.
func (l *Loop) heldFrames() int {
	return len(l.tx) + l.wheel.size + l.continuations.size + len(l.neighbor.waits.list)
}
