package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"gannet/client"
	"gannet/wire"
)

// probeEvery is the time between two probes, and so the finest time an outage is
// measured to.
const probeEvery = time.Millisecond

// prober asks a node for one key again and again, without waiting for answers,
// and notes when the first answers come. Clients of the package client would do
// as well, but wait for their retransmission timeouts.
type prober struct {
	sock    *net.UDPConn
	key     string
	hash    uint64
	shard   int
	ended   chan struct{}
	reading sync.WaitGroup

	mu       sync.Mutex
	cookie   uint64
	armed    uint64    // only answers to probes from this id on count
	sent     uint64    // id of the last probe
	answered time.Time // first answer of any kind
	refused  time.Time // first refusal by the kernel: the port was closed
	hit      time.Time // first hit whose bytes are right
	corrupt  int64
	changed  chan struct{} // of capacity 1
}

// probeSession names the prober to the node.
const probeSession = 0x09E2709E

// newProber starts asking for a key that the node holds.
func newProber(ctx context.Context, c *client.Client, server *net.UDPAddr, key string) (*prober, error) {
	limits, err := c.Limits(ctx)
	if err != nil {
		return nil, err
	}
	p := &prober{key: key, hash: wire.KeyHash([]byte(key)), ended: make(chan struct{}), changed: make(chan struct{}, 1)}
	p.shard = wire.ShardOf(p.hash, limits.Shards)
	addr := *server
	addr.Port += p.shard
	if p.sock, err = net.DialUDP("udp", nil, &addr); err != nil {
		return nil, fmt.Errorf("open a socket for probes: %w", err)
	}
	p.reading.Go(p.send)
	p.reading.Go(p.receive)
	return p, nil
}

// close ends the prober; nothing of it is left.
func (p *prober) close() {
	close(p.ended)
	p.sock.Close()
	p.reading.Wait()
}

// send sends a probe each millisecond.
func (p *prober) send() {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	var datagram []byte
	ask := wire.Op{Code: wire.Get, Key: []byte(p.key)}
	for {
		select {
		case <-ticker.C:
		case <-p.ended:
			return
		}
		p.mu.Lock()
		p.sent++
		header := wire.RequestHeader{Shard: uint16(p.shard), KeyHash: p.hash, RequestID: p.sent, SessionID: probeSession, Cookie: p.cookie}
		p.mu.Unlock()
		datagram = wire.AppendRequest(datagram[:0], &header)
		datagram = wire.AppendOp(datagram, 0, &ask)
		_, _ = p.sock.Write(datagram) // what is wrong shows in receive
	}
}

// receive notes what comes back.
func (p *prober) receive() {
	buf := make([]byte, 1<<16)
	for {
		n, err := p.sock.Read(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, syscall.ECONNREFUSED):
			p.note(&p.refused)
		case err == nil:
			p.file(buf[:n])
		}
	}
}

func (p *prober) file(datagram []byte) {
	var reply wire.Reply
	var op wire.ReplyOp
	if wire.ParseReply(datagram, &reply) != wire.ReasonNone || reply.SessionID != probeSession {
		return
	}
	ops := reply.Ops()
	if !ops.Next(&op) {
		return
	}
	p.mu.Lock()
	counts := p.armed != 0 && reply.RequestID >= p.armed
	if op.Status == wire.StatusCookieRequired {
		p.cookie = op.Token
	}
	p.mu.Unlock()
	if !counts {
		return
	}
	p.note(&p.answered)
	if op.Code != wire.Get || op.Status != wire.StatusOK {
		return
	}
	if !op.Intact() || !CheckValue(op.Value, p.hash) {
		p.mu.Lock()
		p.corrupt++
		p.mu.Unlock()
		return
	}
	p.note(&p.hit)
}

// note sets a time, once, and only when armed.
func (p *prober) note(at *time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.armed == 0 || !at.IsZero() {
		return
	}
	*at = time.Now()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// arm forgets the times and counts only answers to probes sent from now on.
func (p *prober) arm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = p.sent + 1
	p.answered, p.refused, p.hit, p.corrupt = time.Time{}, time.Time{}, time.Time{}, 0
}

// awaitHit waits for the first hit since arm.
func (p *prober) awaitHit(ctx context.Context) error {
	for {
		p.mu.Lock()
		done := !p.hit.IsZero()
		p.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-p.changed:
		case <-ctx.Done():
			return fmt.Errorf("no hit came back: %w", ctx.Err())
		}
	}
}

// wrong is how many hits since arm had wrong bytes.
func (p *prober) wrong() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.corrupt
}
