package client

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"

	"gannet/wire"
)

// node is one server as the client sees it.
type node struct {
	client  *Client
	addr    netip.AddrPort // as given to Open
	name    string         // as given to Open, for errors
	pending pending
	rtt     estimator

	refusedNanos atomic.Int64             // writers: readers and senders; last refusal
	epoch        atomic.Uint32            // greatest seen
	info         atomic.Pointer[nodeInfo] // nil before the HELLO
	greeting     chan struct{}            // of capacity 1: held during the HELLO
}

// nodeInfo is what the node said about itself. It does not change.
type nodeInfo struct {
	wire.HelloReply
	pools []pool // by shard
}

func newNode(c *Client, name string, addr netip.AddrPort) *node {
	n := &node{client: c, addr: addr, name: name, greeting: make(chan struct{}, 1)}
	n.rtt.min, n.rtt.max = c.settings.minRTO, c.settings.maxRTO
	n.pending.init()
	return n
}

// ready says HELLO if nobody did. Only one caller does; the others wait for it,
// and try themselves if it fails.
func (n *node) ready(ctx context.Context, deadlineNanos int64) (*nodeInfo, error) {
	if info := n.info.Load(); info != nil {
		return info, nil
	}
	select {
	case n.greeting <- struct{}{}:
		defer func() { <-n.greeting }()
	case <-ctx.Done():
		return nil, &timeoutError{reason: ErrTimeout, ctxErr: ctx.Err()}
	case <-n.client.closing:
		return nil, ErrClosed
	}
	if info := n.info.Load(); info != nil {
		return info, nil
	}
	return n.hello(ctx, deadlineNanos)
}

// helloPad makes the HELLO as long as its reply.
var helloPad [wire.MinHelloPadBytes]byte

// hello asks the node for its shards and limits, and takes the cookie that comes
// with the answer.
func (n *node) hello(ctx context.Context, deadlineNanos int64) (*nodeInfo, error) {
	k, err := n.dial(n.addr, nil, 0)
	if err != nil {
		return nil, err
	}
	defer k.udp.Close()
	c := newCall(n)
	defer c.release()
	c.conn, c.fixed = k, true
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
	return n.introduce(&hello), nil
}

// introduce publishes what the HELLO brought.
func (n *node) introduce(hello *wire.HelloReply) *nodeInfo {
	info := &nodeInfo{HelloReply: *hello, pools: make([]pool, hello.Shards)}
	for shard := range info.pools {
		addr := netip.AddrPortFrom(n.addr.Addr(), hello.BasePort+uint16(shard))
		info.pools[shard].init(n, uint16(shard), addr)
	}
	n.info.Store(info)
	return info
}

// socket picks a socket to a shard. The node must be ready.
func (n *node) socket(shard int) (*conn, error) {
	return n.info.Load().pools[shard].pick()
}

// payloadBytes is the longest datagram to send to the node.
func (n *node) payloadBytes() int {
	limit := n.client.settings.maxPayloadBytes
	if info := n.info.Load(); info != nil && info.MaxPayloadBytes >= wire.MinReplyRoomBytes {
		limit = min(limit, int(info.MaxPayloadBytes))
	}
	return limit
}

// header fills in what all requests to the node have in common.
func (n *node) header(shard int, hash, cookie uint64, nowNanos, deadlineNanos int64) wire.RequestHeader {
	return wire.RequestHeader{
		Shard: uint16(shard), KeyHash: hash, SessionID: n.client.session, Cookie: cookie,
		Epoch: n.epoch.Load(), BudgetMicros: budgetMicros(nowNanos, deadlineNanos),
		FanOut: 1, MaxReplyBytes: uint16(n.client.settings.maxPayloadBytes),
	}
}

// saw takes note of what every reply says.
func (n *node) saw(reply *wire.Reply) {
	for {
		known := n.epoch.Load()
		if reply.Epoch <= known || n.epoch.CompareAndSwap(known, reply.Epoch) {
			return
		}
	}
}

// refusedSince says whether the node's port was closed at or after the time.
func (n *node) refusedSince(nanos int64) bool {
	at := n.refusedNanos.Load()
	return at != 0 && at >= nanos
}
