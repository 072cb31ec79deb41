package client

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"gannet/wire"
)

// node is one server as the client sees it.
type node struct {
	client  *Client
	addr    netip.AddrPort // as given to Open
	name    string         // as given to Open, for errors
	isSeed  bool           // given to Open
	pending pending
	rtt     estimator
	latency quantile
	// paceNanos is the longest distance between two datagrams of one multi-get's reply,
	// of late: a node that caps this client shows it there.
	paceNanos atomic.Int64
	lag       estimator // of replies behind the ends of their slots
	path      pathMTU
	// leastNanos is the round trip without queues, of late: what a grant's offset leaves out.
	leastNanos atomic.Int64
	breaker    circuitbreaker.CircuitBreaker[any]
	credit     credit
	place      uint32 // among the client's nodes
	lacks      lackings
	// padLost is how many padded reads in a row were answered only once they were sent
	// again without padding.
	padLost atomic.Uint32
	probing atomic.Bool // by probe

	heardNanos atomic.Int64 // when it answered something last

	refusedNanos atomic.Int64             // writers: readers and senders; last refusal
	epoch        atomic.Uint32            // greatest seen
	info         atomic.Pointer[nodeInfo] // nil before the HELLO
	greeting     chan struct{}            // of capacity 1: held during the HELLO
	// stale says that the node may have been started anew, perhaps with other
	// shards: the next call says HELLO again. Writers: readers, and who greets.
	stale atomic.Bool
}

// nodeInfo is what the node said about itself. It does not change.
type nodeInfo struct {
	wire.HelloReply
	generation int    // grows when the shards change
	pools      []pool // by shard; shared by the infos of one generation
}

func newNode(c *Client, name string, addr netip.AddrPort) *node {
	n := &node{client: c, addr: addr, name: name, place: c.places.Add(1), breaker: newBreaker(&c.settings.breaker), greeting: make(chan struct{}, 1)}
	n.rtt.min, n.rtt.max = c.settings.minRTO, c.settings.maxRTO
	n.pending.init()
	n.path.init()
	return n
}

// ready says HELLO if nobody did. Only one caller does; the others wait for it,
// and try themselves if it fails.
//
// It is where every call begins: one whose context has ended sends nothing.
func (n *node) ready(ctx context.Context, deadlineNanos int64) (*nodeInfo, error) {
	if ctx.Err() != nil {
		return nil, newTimeout(ctx, ErrTimeout, false)
	}
	if info := n.info.Load(); info != nil && !n.stale.Load() {
		return info, nil
	}
	select {
	case n.greeting <- struct{}{}:
		defer func() { <-n.greeting }()
	case <-ctx.Done():
		return nil, newTimeout(ctx, ErrTimeout, false)
	case <-n.client.closing:
		return nil, ErrClosed
	}
	if info := n.info.Load(); info != nil && !n.stale.Load() {
		return info, nil
	}
	n.stale.Store(false)
	info, err := n.hello(ctx, deadlineNanos)
	if err != nil {
		n.stale.Store(true)
	}
	return info, err
}

// helloPad makes the HELLO as long as its reply.
var helloPad [wire.MinHelloPadBytes]byte

// hello asks the node for its shards and limits, over a socket of its own: which
// shard's port it is sent to does not matter. The sockets to the shards get their
// cookies with their first answers.
func (n *node) hello(ctx context.Context, deadlineNanos int64) (*nodeInfo, error) {
	k, err := n.dial(n.addr, nil, 0)
	if err != nil {
		return nil, err
	}
	defer k.udp.Close()
	c := newCall(n.client)
	defer c.release()
	c.targets[0], c.aims = target{node: n, conn: k, fixed: true}, 1
	op := c.add(wire.Hello, "")
	op.ask.Value = helloPad[:]
	if err := c.exchange(ctx, deadlineNanos); err != nil {
		return nil, err
	}
	if err := op.err(); err != nil {
		return nil, err
	}
	hello, ok := wire.ParseHelloReply(op.value)
	if !ok || hello.Shards == 0 || hello.BasePort == 0 || int(hello.BasePort)+int(hello.Shards) > 1<<16 {
		return nil, fmt.Errorf("%w: HELLO says %d shards from port %d", ErrProtocol, hello.Shards, hello.BasePort)
	}
	info := n.introduce(&hello)
	n.beginProbing()
	return info, nil
}

// introduce publishes what the HELLO brought. The sockets stay unless the shards
// have changed.
func (n *node) introduce(hello *wire.HelloReply) *nodeInfo {
	before := n.info.Load()
	if before != nil && before.Shards == hello.Shards && before.BasePort == hello.BasePort {
		info := &nodeInfo{HelloReply: *hello, generation: before.generation, pools: before.pools}
		n.info.Store(info)
		return info
	}
	info := &nodeInfo{HelloReply: *hello, generation: 1, pools: make([]pool, hello.Shards)}
	for shard := range info.pools {
		addr := netip.AddrPortFrom(n.addr.Addr(), hello.BasePort+uint16(shard))
		info.pools[shard].init(n, uint16(shard), addr)
	}
	if before != nil {
		info.generation = before.generation + 1
	}
	n.info.Store(info)
	if before != nil {
		for i := range before.pools {
			before.pools[i].close()
		}
	}
	return info
}

// errReshaped ends a call that was aimed at shards the node no longer has.
var errReshaped = fmt.Errorf("%w: it was started anew with other shards during the call; call again", ErrUnavailable)

// socket picks a socket to a shard, as the shards were in a generation.
func (n *node) socket(shard, generation int) (*conn, error) {
	info := n.info.Load()
	if info.generation != generation {
		return nil, errReshaped
	}
	return info.pools[shard].pick()
}

// payloadBytes is the longest datagram to send to the node.
func (n *node) payloadBytes() int {
	limit := n.limitBytes()
	if info := n.info.Load(); info != nil && info.MaxPayloadBytes >= wire.MinReplyRoomBytes {
		limit = min(limit, int(info.MaxPayloadBytes))
	}
	return limit
}

// header fills in what all requests to the node have in common.
func (n *node) header(shard int, hash, cookie uint64, nowNanos, deadlineNanos int64) wire.RequestHeader {
	return wire.RequestHeader{
		Shard: uint16(shard), KeyHash: hash, SessionID: n.client.session, Cookie: cookie,
		Epoch: max(n.epoch.Load(), n.client.epoch()), BudgetMicros: budgetMicros(nowNanos, deadlineNanos),
		FanOut: 1, MaxReplyBytes: uint16(n.limitBytes()),
	}
}

// saw takes note of what every reply says.
func (n *node) saw(reply *wire.Reply) {
	for {
		known := n.epoch.Load()
		if reply.Epoch <= known {
			return
		}
		if n.epoch.CompareAndSwap(known, reply.Epoch) {
			n.client.heard(n, reply.Epoch)
			return
		}
	}
}

// measured takes in the time that an answer took.
func (n *node) measured(d time.Duration) {
	n.rtt.observe(d)
	n.noteLeast(int64(d))
	n.latency.observe(d)
}

// retire closes the sockets of a node that has left the ring.
func (n *node) retire() {
	n.path.ended.Store(true)
	n.path.prod()
	if info := n.info.Load(); info != nil {
		for i := range info.pools {
			info.pools[i].close()
		}
	}
}

// refusedWithin says whether the node's port was closed a moment ago.
func (n *node) refusedWithin(d time.Duration) bool {
	return n.refusedSince(max(1, n.client.nowNanos()-int64(d)))
}

// refusedSince says whether the node's port was closed at or after the time.
func (n *node) refusedSince(nanos int64) bool {
	at := n.refusedNanos.Load()
	return at != 0 && at >= nanos
}
