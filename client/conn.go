package client

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"gannet/wire"
)

// receiveBufferBytes is asked of the kernel for each socket, so that the parts
// of a few long values fit; the kernel may grant less.
const receiveBufferBytes = 4 << 20

// conn is one source port to one shard's port.
type conn struct {
	client *Client
	node   *node
	pool   *pool // nil while the shard is not known yet
	slot   int
	udp    *net.UDPConn
	cookie atomic.Uint64 // writer: the reader's goroutine, through calls
	queue  atomic.Int32  // the rx queue its requests arrive on, -1 = not known
}

// dial opens a socket and starts its reader.
func (n *node) dial(addr netip.AddrPort, p *pool, slot int) (*conn, error) {
	udp, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("open a socket to %v: %w", addr, err)
	}
	// Best effort: a small buffer costs repeated questions, not answers.
	_ = udp.SetReadBuffer(receiveBufferBytes)
	k := &conn{client: n.client, node: n, pool: p, slot: slot, udp: udp}
	k.queue.Store(-1)
	if !n.client.track(k) {
		udp.Close()
		return nil, ErrClosed
	}
	go k.read()
	return k, nil
}

// send sends a datagram. Failures are evidence against the node, no more: what
// follows is the same as for a datagram lost on the way.
func (k *conn) send(datagram []byte) {
	k.client.counters.sent.Add(1)
	if _, err := k.udp.Write(datagram); err != nil {
		k.note(err)
	}
}

// read takes in replies until the socket is closed.
func (k *conn) read() {
	defer k.client.untrack(k)
	// One byte more than a reply may have tells a cut one apart.
	buf := make([]byte, k.node.bufferBytes(k.udp)+1)
	var reply wire.Reply
	for {
		n, err := k.udp.Read(buf)
		switch {
		case err == nil:
			k.deliver(buf[:n], &reply)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			k.note(err)
		}
	}
}

// deliver hands one datagram to the call that waits for it.
func (k *conn) deliver(datagram []byte, reply *wire.Reply) {
	counters := &k.client.counters
	if reason := wire.ParseReply(datagram, reply); reason != wire.ReasonNone {
		counters.malformed[reason].Add(1)
		return
	}
	if reply.SessionID != k.client.session {
		counters.foreign.Add(1)
		return
	}
	counters.received.Add(1)
	if len(datagram) > DefaultMaxPayload {
		k.node.path.carried()
	}
	k.node.saw(reply)
	now := k.client.nowNanos()
	k.node.heardNanos.Store(now)
	if k.pool != nil {
		k.pool.load.set(reply.Load, now)
	}
	k.learn(reply.RxQueue)
	waiting := k.node.pending.find(reply.RequestID)
	if waiting == nil {
		counters.late.Add(1)
		return
	}
	waiting.receive(reply, k, now)
}

// learn files the queue on which this socket's requests arrive.
func (k *conn) learn(queue uint16) {
	if k.pool != nil && k.queue.Load() != int32(queue) {
		k.queue.Store(int32(queue))
		k.pool.learn(k, queue)
	}
}

// renew files a cookie. That the node wants a new one can mean that it is new.
func (k *conn) renew(cookie uint64) {
	if k.cookie.Swap(cookie) != 0 {
		k.node.stale.Store(true)
	}
}

// note files an error of the socket. A refusal means that the node's port is
// closed: its data plane is not running.
func (k *conn) note(err error) {
	if errors.Is(err, syscall.ECONNREFUSED) {
		k.client.counters.refused.Add(1)
		k.node.refusedNanos.Store(k.client.nowNanos())
		k.node.stale.Store(true)
		if r := k.client.routes.Load(); r != nil && r.ring != nil {
			k.node.breaker.Open()
			k.client.doubt(k.node)
		}
		return
	}
	k.client.counters.socketErrors.Add(1)
}

// putKeyHash writes the key hash into the header of a built request.
func putKeyHash(datagram []byte, hash uint64) {
	binary.LittleEndian.PutUint64(datagram[wire.OffsetKeyHash:], hash)
}
